-- task: a run has something to look at. {'task', position of the stream, task, record, its index}
--@ check
redis.call('XLEN', KEYS[op[2]])
--@ run
rouse(KEYS[op[2]], op[3], op[4], op[5])

-- task: a run has something to look at. {'task', position of the stream, task, record, its index}
--@ check
redis.call('XLEN', KEYS[op[2]])
--@ run
redis.call('XADD', KEYS[op[2]], '*', 'p', op[3], 'd', op[4], 'at', op[5])

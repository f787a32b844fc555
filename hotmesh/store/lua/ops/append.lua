-- append: an entry for a stream. {'append', position of the stream, payload}
--@ check
redis.call('XLEN', KEYS[op[2]]) -- a key of another type fails here, before the first write
--@ run
redis.call('XADD', KEYS[op[2]], '*', 'p', op[3])

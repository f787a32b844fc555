-- untimer: take a timer back. {'untimer', position of the timers, entry}
--@ check
redis.call('ZCARD', KEYS[op[2]])
--@ run
redis.call('ZREM', KEYS[op[2]], op[3])

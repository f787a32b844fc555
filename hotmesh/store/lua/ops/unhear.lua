-- unhear: wait no more. {'unhear', position of waiters, waiter}
--@ check
redis.call('LLEN', KEYS[op[2]])
--@ run
redis.call('LREM', KEYS[op[2]], 1, op[3])

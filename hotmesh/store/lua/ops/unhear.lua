-- unhear: wait no more. {'unhear', position of waiters, waiter}
CHECKS['unhear'] = function(op)
  redis.call('LLEN', KEYS[op[2]])
end
OPS['unhear'] = function(op)
  redis.call('LREM', KEYS[op[2]], 1, op[3])
end

-- untimer: take a timer back. {'untimer', position of the timers, entry}
CHECKS['untimer'] = function(op)
  redis.call('ZCARD', KEYS[op[2]])
end
OPS['untimer'] = function(op)
  redis.call('ZREM', KEYS[op[2]], op[3])
end

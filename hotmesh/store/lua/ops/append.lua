-- append: an entry for a stream. {'append', position of the stream, payload}
CHECKS['append'] = function(op)
  redis.call('XLEN', KEYS[op[2]]) -- a key of another type fails here, before the first write
end
OPS['append'] = function(op)
  redis.call('XADD', KEYS[op[2]], '*', 'p', op[3])
end

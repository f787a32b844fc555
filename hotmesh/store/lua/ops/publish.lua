-- publish: a hint. {'publish', channel, payload}. Always the last ops of a transition.
OPS['publish'] = function(op)
  redis.call('PUBLISH', op[2], op[3])
end

-- publish: a hint. {'publish', channel, payload}. Always the last ops of a transition.
--@ run
redis.call('PUBLISH', op[2], op[3])

-- forward: an entry for another partition, by way of this one's outbox.
-- {'forward', position of the outbox, partition, payload}
--@ check
redis.call('XLEN', KEYS[op[2]])
--@ run
redis.call('XADD', KEYS[op[2]], '*', 'p', op[4], 'to', op[3])

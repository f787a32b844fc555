-- once: an entry that may be ordered again by a repeated delivery, of which nothing else is left to tell.
-- {'once', position of the stream, partition or app of an outbox, payload, position of a receipt, receipt_ms}
--@ check
redis.call('XLEN', KEYS[op[2]])
redis.call('STRLEN', KEYS[op[5]])
--@ run
if not redis.call('SET', KEYS[op[5]], '1', 'NX', 'PX', op[6]) then return end
if op[3] == '' then
  redis.call('XADD', KEYS[op[2]], '*', 'p', op[4])
else
  redis.call('XADD', KEYS[op[2]], '*', 'p', op[4], 'to', op[3])
end

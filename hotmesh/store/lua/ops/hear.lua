-- hear: wait for a signal, or take those that came early until one ends the wait.
-- {'hear', positions of waiters, early signals, engine stream, outbox, own partition, waiter, position of a receipt
--  or 0, receipt_ms, what to tell the waiter when another waits already, or nothing}
--@ check
redis.call('LLEN', KEYS[op[2]])
redis.call('LLEN', KEYS[op[3]])
redis.call('XLEN', KEYS[op[4]])
redis.call('XLEN', KEYS[op[5]])
--@ run
-- A registration that came through an outbox may come again, after it was woken or taken back.
if op[8] > 0 and not redis.call('SET', KEYS[op[8]], '1', 'NX', 'PX', op[9]) then return end
while true do
  local early = redis.call('LPOP', KEYS[op[3]])
  if not early then break end
  deliver(KEYS[op[4]], KEYS[op[5]], op[6], op[7], string.sub(early, 2))
  if string.sub(early, 1, 1) == '1' then return end
end
if op[10] and redis.call('LLEN', KEYS[op[2]]) > 0 and redis.call('LINDEX', KEYS[op[2]], 0) ~= op[7] then
  deliver(KEYS[op[4]], KEYS[op[5]], op[6], op[7], op[10])
  return
end
redis.call('RPUSH', KEYS[op[2]], op[7])

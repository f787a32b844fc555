-- tell: give a signal to the one that has waited longest, or keep it for whoever comes.
-- {'tell', positions of waiters, early signals, engine stream, outbox, receipt, own partition, signal, '1' if it ends the wait,
--  pending_ms, receipt_ms, early max}
--@ check
redis.call('LLEN', KEYS[op[2]])
redis.call('XLEN', KEYS[op[4]])
redis.call('XLEN', KEYS[op[5]])
if redis.call('LLEN', KEYS[op[3]]) >= op[12] then
  if not overdue(redis.call('LINDEX', KEYS[op[3]], 0), now(skew_ms)) then return 5 end
end
--@ run
-- A repeated sending must not be taken for another signal, which would meet the next waiter.
if not redis.call('SET', KEYS[op[6]], '1', 'NX', 'PX', op[11]) then return end
local waiter = redis.call('LINDEX', KEYS[op[2]], 0)
if waiter then
  deliver(KEYS[op[4]], KEYS[op[5]], op[7], waiter, op[8])
  if op[9] == '1' then redis.call('LPOP', KEYS[op[2]]) end
elseif op[10] > 0 then
  local now_ms = now(skew_ms)
  local first = redis.call('LINDEX', KEYS[op[3]], 0)
  while first and overdue(first, now_ms) do
    redis.call('LPOP', KEYS[op[3]])
    first = redis.call('LINDEX', KEYS[op[3]], 0)
  end
  local left_ms = redis.call('PTTL', KEYS[op[3]])
  redis.call('RPUSH', KEYS[op[3]], op[9] .. string.format('%015.0f', now_ms + op[10]) .. op[8])
  redis.call('PEXPIRE', KEYS[op[3]], string.format('%.0f', math.max(left_ms, op[10])))
end

-- tell: give a signal to the one that has waited longest, or keep it for whoever comes.
-- {'tell', positions of waiters, early signals, engine stream, outbox, receipt, own partition, signal, '1' if it ends the wait,
--  pending_ms, receipt_ms, early max}
--@ check
redis.call('LLEN', KEYS[op[2]])
redis.call('XLEN', KEYS[op[4]])
redis.call('XLEN', KEYS[op[5]])
if redis.call('LLEN', KEYS[op[3]]) >= op[12] then return 5 end
--@ run
-- A repeated sending must not be taken for another signal, which would meet the next waiter.
if not redis.call('SET', KEYS[op[6]], '1', 'NX', 'PX', op[11]) then return end
local waiter = redis.call('LINDEX', KEYS[op[2]], 0)
if waiter then
  deliver(KEYS[op[4]], KEYS[op[5]], op[7], waiter, op[8])
  if op[9] == '1' then redis.call('LPOP', KEYS[op[2]]) end
elseif op[10] > 0 then
  redis.call('RPUSH', KEYS[op[3]], op[9] .. op[8])
  redis.call('PEXPIRE', KEYS[op[3]], op[10])
end

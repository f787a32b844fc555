-- deliver.lua: a signal has met a waiter: tell the waiter's job, in this partition or, by the outbox, in another.
-- A waiter is '<partition>:<entry>'.
local function deliver(engine, outbox, here, waiter, signal)
  local at = string.find(waiter, ':', 1, true)
  local there, entry = string.sub(waiter, 1, at - 1), string.sub(waiter, at + 1)
  if there == here then
    redis.call('XADD', engine, '*', 'p', entry, 'd', signal)
  else
    redis.call('XADD', outbox, '*', 'p', entry, 'd', signal, 'to', there)
  end
end

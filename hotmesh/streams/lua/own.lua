-- own.lua: take one partition of an app, or go on holding it.
-- KEYS: owner (hash: o owner, e epoch, u until, n last commit, s last number of the outbox,
--       c '1' if it was let go of rather than lost)
-- ARGV: me, lease_ms, skew_ms, name of an owner that is known to be dead or ''
-- RETURNS: 1, epoch, number of the outbox, '1' if it was taken now, '1' if the owner before had let go of it;
--          or 0, its owner, ms until the lease ends
-- CALLER: streams/lease.py own        INCLUDES: now
local found = redis.call('HMGET', KEYS[1], 'o', 'e', 'u', 's', 'c')
local owner, epoch, until_ms = found[1] or '', tonumber(found[2] or '0'), tonumber(found[3] or '0')
local now_ms = now(tonumber(ARGV[3]))
local taken = '0'
if owner ~= ARGV[1] then
  if owner ~= '' and owner ~= ARGV[4] and until_ms > now_ms then return { 0, owner, until_ms - now_ms } end
  epoch, taken = epoch + 1, '1'
  redis.call('HSET', KEYS[1], 'o', ARGV[1], 'e', string.format('%.0f', epoch), 'n', '0', 'c', '0')
end
redis.call('HSET', KEYS[1], 'u', string.format('%.0f', now_ms + tonumber(ARGV[2])))
return { 1, epoch, tonumber(found[4] or '0'), taken, found[5] or '1' }

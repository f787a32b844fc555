-- disown.lua: let go of a partition, so that another takes it at once.
-- KEYS: owner (hash)        ARGV: me, epoch, '1' if nothing in hand was cut off
-- RETURNS: 1 done, 0 it is another's by now
-- CALLER: streams/lease.py disown        INCLUDES: none
local found = redis.call('HMGET', KEYS[1], 'o', 'e')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'o', '', 'u', '0', 'c', ARGV[3])
return 1

-- retire.lua: forget a consumer, if it holds nothing: deleting one drops what it holds from the group for ever.
-- KEYS: stream        ARGV: group, consumer
-- RETURNS: 1 retired, 0 it still holds entries or is unknown
-- CALLER: store/leases.py retire        INCLUDES: none
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if held.err or #held > 0 then return 0 end -- the group may be gone
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1

-- forget.lua: a member that has been silent for long is gone, with the throttle that was its own.
-- KEYS: members (hash), throttles (hash)        ARGV: guid, its profile as it was read, scope of its throttle
-- RETURNS: 1 forgotten, 0 it has been heard of meanwhile
-- CALLER: store/fleet.py forget_member        INCLUDES: none
redis.call('HLEN', KEYS[2])
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[3])
return 1

-- collect.lua: forget a plan that nothing needs, unless somebody has used or activated its version meanwhile.
-- KEYS: plans (hash), app (hash), uses (hash)
-- ARGV: version, field of the app that says when it was activated, its value as it was seen, latest use in ms that
--       does not count, field of the app for the plan's digest, the digest
-- RETURNS: 1 forgotten, 0 refused
-- CALLER: store/collect.py collect        INCLUDES: none
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return 0 end
local used = redis.call('HGET', KEYS[3], ARGV[1])
if used and tonumber(used) > tonumber(ARGV[4]) then return 0 end
redis.call('HEXISTS', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[5], ARGV[6])
return 1

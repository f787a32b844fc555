-- deploy.lua: store a plan under its version, unless the version was activated with another model.
-- KEYS: plans (hash), app (hash)
-- ARGV: version, plan, field of the app that says it was activated, field that holds the digest of a collected plan, digest
-- RETURNS: 1 stored, 0 refused
-- CALLER: store/plans.py deploy        INCLUDES: none
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 and redis.call('HGET', KEYS[2], ARGV[4]) ~= ARGV[5] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1

-- seal.lua: a version is about to be activated: from now on its plan can't change.
-- KEYS: plans (hash), app (hash)        ARGV: version, SHA-1 of the plan that the fleet agreed on, field of the app, now_ms
-- RETURNS: 1 sealed, 0 the plan is another one by now
-- CALLER: store/plans.py seal        INCLUDES: none
local plan = redis.call('HGET', KEYS[1], ARGV[1])
if not plan or redis.sha1hex(plan) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1

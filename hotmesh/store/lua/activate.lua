-- activate.lua: one partition starts new jobs on a version from now on.
-- KEYS: version (string)        ARGV: version
-- RETURNS: the version before, or ''
-- CALLER: store/plans.py activate        INCLUDES: none
local before = redis.call('GET', KEYS[1]) or ''
redis.call('SET', KEYS[1], ARGV[1])
return before

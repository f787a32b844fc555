-- ask.lua: a question for whoever has a run in memory, or can replay it.
-- KEYS: the common stream, then, where a worker keeps the run, its stream and its life; all of one hash tag
-- ARGV: the entry
-- RETURNS: 1
-- CALLER: store/runs.py ask        INCLUDES: none
local stream = KEYS[1]
if #KEYS > 1 and redis.call('EXISTS', KEYS[3]) == 1 then stream = KEYS[2] end
redis.call('XADD', stream, '*', 'p', ARGV[1])
return 1

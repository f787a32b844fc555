-- declare.lua: change what is known of a topic or table, if it is still what was read.
-- KEYS: what is known (hash)        ARGV: name, text before or '', text now
-- RETURNS: 1 done, 0 somebody was faster
-- CALLER: streams/topics.py declare        INCLUDES: none
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1

-- tick.lua: who of the fleet runs something that is due.
-- KEYS: when each fired last (hash)        ARGV: name, the time that is due in ms
-- RETURNS: 1 the caller does, 0 somebody has
-- CALLER: streams/schedule.py claim        INCLUDES: none
if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1

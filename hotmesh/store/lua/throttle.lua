-- throttle.lua: keep or forget a throttle; one for all replaces every other, in one step, so that nobody runs in between.
-- KEYS: throttles (hash)        ARGV: scope ('*', 'topic:…', 'member:…'), the throttle or '' to forget it
-- RETURNS: number kept now
-- CALLER: store/fleet.py keep_throttle        INCLUDES: none
redis.call('HLEN', KEYS[1])
if ARGV[1] == '*' then redis.call('DEL', KEYS[1]) end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return redis.call('HLEN', KEYS[1])

-- trim.lua: keep a stream that commits append to bounded: what every group has handled goes.
-- KEYS: entries (stream)        ARGV: length_max
-- RETURNS: 1 there is room, 0 what is left was not handled
-- CALLER: streams/partition.py trim        INCLUDES: handled
local length_max = tonumber(ARGV[1])
local length = redis.call('XLEN', KEYS[1])
if length < length_max then return 1 end
local first = handled(KEYS[1])
if not first then
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', length_max)
  return 1
end
if length_max < 1000 then
  redis.call('XTRIM', KEYS[1], 'MINID', first)
else
  redis.call('XTRIM', KEYS[1], 'MINID', '~', first, 'LIMIT', length - length_max + 1000)
end
return redis.call('XLEN', KEYS[1]) < length_max + 200 and 1 or 0

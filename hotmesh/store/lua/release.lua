-- release.lua: hand back entries that were not finished, so that a sibling may claim them at once.
-- KEYS: stream        ARGV: group, consumer, idle_ms, entry id ...
-- RETURNS: number handed back
-- CALLER: store/leases.py release        INCLUDES: holds
local count = 0
for i = 4, #ARGV do
  if holds(KEYS[1], ARGV[1], ARGV[2], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
    count = count + 1
  end
end
return count

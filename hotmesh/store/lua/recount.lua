-- recount.lua: say how often entries were begun. Being claimed counts as a delivery, and is none while they wait in line.
-- KEYS: stream        ARGV: group, consumer, then per entry: id, count
-- RETURNS: how many of them this consumer still holds
-- CALLER: store/leases.py recount        INCLUDES: holds
local count = 0
for i = 3, #ARGV, 2 do
  if holds(KEYS[1], ARGV[1], ARGV[2], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
    count = count + 1
  end
end
return count

-- extend.lua: renew the leases of entries that this consumer still holds.
-- KEYS: stream        ARGV: group, consumer, entry id ...
-- RETURNS: the ids that it no longer holds (claimed by a sibling, or done)
-- CALLER: store/leases.py extend        INCLUDES: holds
-- The owner is looked at first: XCLAIM alone would take the entry back from the sibling that claimed it.
local lost = {}
for i = 3, #ARGV do
  if holds(KEYS[1], ARGV[1], ARGV[2], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost

-- trim.lua: drop entries of a work stream that its group has settled and that are still there: a cut between the
-- acknowledgement and the deletion leaves them, and they count as backlog for ever.
-- KEYS: stream        ARGV: group
-- RETURNS: number dropped
-- CALLER: store/fleet.py trim        INCLUDES: none
-- What is pending or was never delivered lies at or above the oldest pending entry, or above the last delivered one.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
if #groups ~= 1 then return 0 end -- others read here as well, and what they have settled is not known
local group = {}
for i = 1, #groups[1], 2 do group[groups[1][i]] = groups[1][i + 1] end
if group['name'] ~= ARGV[1] then return 0 end
local from = redis.call('XPENDING', KEYS[1], ARGV[1])[2]
if not from then
  local ms, seq = string.match(group['last-delivered-id'], '^(%d+)-(%d+)$')
  if ms == '0' and seq == '0' then return 0 end
  from = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
end
return redis.call('XTRIM', KEYS[1], 'MINID', from)

-- handled.lua: the id below which every group has handled everything; nil when there is no group.
local function handled(stream)
  local first
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    local held = facts['pending'] > 0
    local id = held and redis.call('XPENDING', stream, facts['name'])[2] or facts['last-delivered-id']
    local ms, seq = string.match(id, '(%d+)-(%d+)')
    ms, seq = tonumber(ms), tonumber(seq) + (held and 0 or 1)
    if not first or ms < first[1] or (ms == first[1] and seq < first[2]) then first = { ms, seq } end
  end
  return first and string.format('%.0f-%.0f', first[1], first[2])
end

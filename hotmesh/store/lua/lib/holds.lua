-- holds.lua: whether a consumer is the owner of a pending entry.
local function holds(stream, group, consumer, id)
  local held = redis.call('XPENDING', stream, group, id, id, 1)[1]
  return held and held[2] == consumer
end

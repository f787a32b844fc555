-- acknowledge.lua: entries are done: out of the group's pending list and out of the stream, unless
-- other groups read it too (`keep`).
local function acknowledge(stream, group, ids, keep)
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    redis.call('XACK', stream, group, unpack(ids, first, last))
    if not keep then redis.call('XDEL', stream, unpack(ids, first, last)) end
  end
end

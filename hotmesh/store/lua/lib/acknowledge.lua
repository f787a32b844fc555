-- acknowledge.lua: entries are done: out of the group's pending list and out of the stream.
local function acknowledge(stream, group, ids)
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    redis.call('XACK', stream, group, unpack(ids, first, last))
    redis.call('XDEL', stream, unpack(ids, first, last))
  end
end

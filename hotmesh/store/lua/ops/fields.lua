-- fields: operations on the fields that users see; what they give joins the history as a record.
-- {'fields', position of the history, step, '1' if the record is wanted, {name, field, ...}, ...}
-- A failed operation gives {'!', why} and changes nothing.
--@ check
redis.call('LLEN', KEYS[op[2]])
--@ run
local values = {}
for i = 5, #op do
  local name, field = op[i][1], op[i][2]
  local value
  if name == 'set' then
    redis.call('HSET', KEYS[1], unpack(op[i], 2))
    value = (#op[i] - 1) / 2
  elseif name == 'get' then
    value = redis.call('HGET', KEYS[1], field)
  elseif name == 'mget' then
    value = redis.call('HMGET', KEYS[1], unpack(op[i], 2))
    for j = 1, #value do
      if not value[j] then value[j] = cmsgpack.null or false end
    end
  elseif name == 'delete' then
    value = redis.call('HDEL', KEYS[1], unpack(op[i], 2))
  else
    local held = redis.call('HGET', KEYS[1], field)
    local before = held and tonumber(held) or (not held and (name == 'incr' and 0 or 1))
    if not before then
      value = { '!', 'field ' .. string.sub(field, 2) .. ' holds no number' }
    elseif name == 'incr' then
      value = redis.call('HINCRBYFLOAT', KEYS[1], field, op[i][3])
    else
      value = string.format('%.17g', before * tonumber(op[i][3]))
      redis.call('HSET', KEYS[1], field, value)
    end
  end
  values[#values + 1] = value
end
if op[4] == '1' then
  local record = 'I' .. cmsgpack.pack({ 'found1', tonumber(op[3]), values })
  redis.call('RPUSH', KEYS[op[2]], record)
  said = said or {}
  said[#said + 1] = record
end

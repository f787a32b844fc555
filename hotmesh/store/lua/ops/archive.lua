-- archive: the record of a run that continues as another moves aside; what users set goes along.
-- {'archive', position of the archive, of the next run's history}
--@ check
redis.call('LLEN', KEYS[op[3]])
--@ run
local record = redis.call('HGETALL', KEYS[1])
redis.call('RENAME', KEYS[1], KEYS[op[2]])
for i = 1, #record, 2 do
  if string.byte(record[i]) == 95 then redis.call('HSET', KEYS[1], record[i], record[i + 1]) end
end
for i = 1, #newer do
  local kind = string.byte(newer[i])
  if kind == 83 or kind == 67 then redis.call('RPUSH', KEYS[op[3]], newer[i]) end
end

-- count: add to statistics. {'count', job id, keep_ms, position of the sums, {field, amount, ...},
--  {position of values, value, ...}, {position of an index, ...}}
--@ check
redis.call('HLEN', KEYS[op[4]])
for i = 1, #op[6], 2 do redis.call('ZCARD', KEYS[op[6][i]]) end
for i = 1, #op[7] do redis.call('LLEN', KEYS[op[7][i]]) end
--@ run
local function keep(key)
  if op[3] > 0 then redis.call('PEXPIRE', key, string.format('%.0f', op[3])) end
end
for i = 1, #op[5], 2 do
  redis.call('HINCRBYFLOAT', KEYS[op[4]], op[5][i], op[5][i + 1])
end
keep(KEYS[op[4]])
for i = 1, #op[6], 2 do
  redis.call('ZADD', KEYS[op[6][i]], op[6][i + 1], op[2])
  keep(KEYS[op[6][i]])
end
for i = 1, #op[7] do
  redis.call('RPUSH', KEYS[op[7][i]], op[2])
  keep(KEYS[op[7][i]])
end

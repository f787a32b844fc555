-- set: write fields of the job. {'set', field, value, ...}
--@ run
for first = 2, #op, 1000 do
  redis.call('HSET', KEYS[1], unpack(op, first, math.min(first + 999, #op)))
end

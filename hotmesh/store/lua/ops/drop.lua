-- drop: delete fields of the job. {'drop', field, ...}
--@ run
for first = 2, #op, 1000 do
  redis.call('HDEL', KEYS[1], unpack(op, first, math.min(first + 999, #op)))
end

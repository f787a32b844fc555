-- history: items join the history of a run. {'history', position of the history, item, ...}
--@ check
redis.call('LLEN', KEYS[op[2]])
--@ run
for first = 3, #op, 1000 do
  redis.call('RPUSH', KEYS[op[2]], unpack(op, first, math.min(first + 999, #op)))
end

-- timer: have an entry appended to the engine stream later. {'timer', position of the timers, entry, after_ms, channel}
-- Whoever waits for the next timer is told when this one comes before it.
--@ check
redis.call('ZCARD', KEYS[op[2]])
--@ run
local due_ms = now(skew_ms) + op[4]
local first = redis.call('ZRANGE', KEYS[op[2]], 0, 0, 'WITHSCORES')
redis.call('ZADD', KEYS[op[2]], string.format('%.0f', due_ms), op[3])
if not first[2] or due_ms < tonumber(first[2]) then
  redis.call('PUBLISH', op[5], string.format('%.0f', op[4]))
end

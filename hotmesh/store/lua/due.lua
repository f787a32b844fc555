-- due.lua: move due timers into the stream that they are for.
-- KEYS: timers (zset), stream (the engine's, or a group's of further attempts)        all of one hash tag; no key is built here
-- ARGV: skew_ms (int, 0 outside tests), limit (1..1000)
-- RETURNS: number moved; ms until the next timer, or -1 if there is none
-- CALLER: store/jobs.py pop        INCLUDES: now
local now_ms = now(tonumber(ARGV[1]))
redis.call('XLEN', KEYS[2])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, ARGV[2])
for i = 1, #due do
  redis.call('XADD', KEYS[2], '*', 'p', due[i])
end
if #due > 0 then
  redis.call('ZREM', KEYS[1], unpack(due))
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[2] then return { #due, -1 } end
return { #due, math.max(0, math.ceil(tonumber(first[2]) - now_ms)) }

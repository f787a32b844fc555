-- produce.lua: append what a producer has for one partition of a topic, each entry once, and keep the stream bounded.
-- KEYS: entries (stream), receipt (string: the last number of this producer)        all of one hash tag
-- ARGV: keep_ms of the receipt, length_max (0: none), '1' to drop the oldest even if a group has not handled them,
--       retention_ms (0: none), skew_ms, then per entry: number, count of fields and values, fields and values in turn
-- RETURNS: 1 and the ids of what was appended, '' for an entry that came before; or 5: full, nothing was written
-- CALLER: streams/produce.py append        INCLUDES: now, handled
local entries, receipt = KEYS[1], KEYS[2]
local length_max = tonumber(ARGV[2])
local last = tonumber(redis.call('GET', receipt) or '-1')
local length = redis.call('XLEN', entries)
-- The first of them is looked at alone: a batch is sent again as it was.
if length_max > 0 and length >= length_max and tonumber(ARGV[6]) > last then
  if ARGV[3] == '1' then
    redis.call('XTRIM', entries, 'MAXLEN', '~', length_max)
  else
    local first = handled(entries)
    if not first then
      redis.call('XTRIM', entries, 'MAXLEN', '~', length_max)
    elseif length_max < 1000 then
      redis.call('XTRIM', entries, 'MINID', first)
    else
      redis.call('XTRIM', entries, 'MINID', '~', first, 'LIMIT', length - length_max + 1000)
    end
    -- Trimming leaves up to a node too many, so the bound is not exact either.
    if first and redis.call('XLEN', entries) >= length_max + (length_max < 1000 and 0 or 200) then return { 5 } end
  end
end
local reply = { 1 }
local at, count = 6, #ARGV
while at <= count do
  local number, size = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  if number > last then
    reply[#reply + 1] = redis.call('XADD', entries, '*', unpack(ARGV, at + 2, at + 1 + size))
    last = number
  else
    reply[#reply + 1] = ''
  end
  at = at + 2 + size
end
redis.call('SET', receipt, string.format('%.0f', last), 'PX', ARGV[1])
local retention_ms = tonumber(ARGV[4])
if retention_ms > 0 then
  redis.call('XTRIM', entries, 'MINID', '~', string.format('%.0f', now(tonumber(ARGV[5])) - retention_ms))
end
return reply

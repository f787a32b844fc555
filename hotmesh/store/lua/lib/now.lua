-- now.lua: the one clock, in milliseconds.
local function now(skew_ms)
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000) + skew_ms
end

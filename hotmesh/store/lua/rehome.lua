-- rehome.lua: what a worker that is gone had before it becomes anybody's: its own streams are emptied into the common ones.
-- KEYS: its life (string), then pairs of its stream and the common one; all of one hash tag
-- ARGV: '1' when it is known to be gone, whatever its life says; entries max
-- RETURNS: entries moved, or -1 while it lives
-- CALLER: store/runs.py rehome        INCLUDES: none
if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
local moved, left = 0, tonumber(ARGV[2])
for i = 2, #KEYS, 2 do
  local entries = redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', left - moved)
  for j = 1, #entries do
    local fields = entries[j][2]
    fields[#fields + 1] = 'lost'
    fields[#fields + 1] = '1'
    redis.call('XADD', KEYS[i + 1], '*', unpack(fields))
    redis.call('XDEL', KEYS[i], entries[j][1])
  end
  moved = moved + #entries
  if redis.call('XLEN', KEYS[i]) == 0 then redis.call('UNLINK', KEYS[i]) end
end
return moved

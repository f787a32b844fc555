-- redrive.lua: give a dead letter another life, or drop it.
-- KEYS: dead letters (stream), stream it came from        ARGV: dead letter id, '1' to append its entry again
-- RETURNS: 1 done, 0 there is no such dead letter
-- CALLER: store/dead.py redrive        INCLUDES: none
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not found then return 0 end
redis.call('XLEN', KEYS[2])
if ARGV[2] == '1' then
  local fields, entry = found[2], {}
  for i = 1, #fields, 2 do
    local name = fields[i]
    if name == 'p' or name == 'd' or name == 'to' then
      entry[#entry + 1] = name
      entry[#entry + 1] = fields[i + 1]
    end
  end
  redis.call('XADD', KEYS[2], '*', unpack(entry))
end
redis.call('XDEL', KEYS[1], ARGV[1])
return 1

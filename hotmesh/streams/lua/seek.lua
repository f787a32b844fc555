-- seek.lua: have a group go on behind an id, and its owner start anew: what it holds is void.
-- KEYS: entries (stream), owner (hash), attempts (hash)        ARGV: group, id
-- RETURNS: entries that were pending
-- CALLER: streams/admin.py reset        INCLUDES: none
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[2], 'MKSTREAM')
local dropped = 0
if type(made) == 'table' and made.err then
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    dropped = dropped + redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer[2])
  end
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2])
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'e', 1)
  redis.call('HSET', KEYS[2], 'o', '', 'u', '0')
end
redis.call('DEL', KEYS[3])
return dropped

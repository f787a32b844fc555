-- commit.lua: what events of one partition have caused, and their acknowledgement: all or nothing, once.
-- KEYS: owner (hash), then whatever the commands name by position; all of one hash tag; no key is built here
-- ARGV: epoch, number of this commit, the types of the keys after the first (a letter each: h hash, s stream, z sorted set,
--       t string), then per command: its name, position of its key (0: none), count of its arguments, the arguments
-- RETURNS: 1 applied · 3 applied before · 6 the partition is another's by now; all but 1 have written nothing
-- CALLER: streams/commit.py apply        INCLUDES: none
local found = redis.call('HMGET', KEYS[1], 'e', 'n')
if found[1] ~= ARGV[1] then return 6 end
if tonumber(found[2]) >= tonumber(ARGV[2]) then return 3 end
local types = { h = 'hash', s = 'stream', z = 'zset', t = 'string' }
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= types[string.sub(ARGV[3], i - 1, i - 1)] then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. kind)
  end
end
redis.call('HSET', KEYS[1], 'n', ARGV[2])
local at, count = 4, #ARGV
while at <= count do
  local name, key, size = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local last = at + 2 + size
  if key == 0 then
    redis.call(name, unpack(ARGV, at + 3, last))
  else
    redis.call(name, KEYS[key], unpack(ARGV, at + 3, last))
  end
  at = last + 1
end
return 1

-- turn: the worker of a run commits what its code asked for.
-- {'turn', run id, rev, mode, position of the history, items known, group, {entry ids}, next rev, item, ...}
-- Items join the history and the revision moves here rather than by ops: nearly every turn has nothing else to write.
-- mode: 'keep' the entry, for activities run here; 'release' it, unless inputs came meanwhile; 'final' ends the run, and is
-- refused (7) while a signal is unseen; 'end' ends it all the same.
-- RETURNS: the inputs that came meanwhile, where the entry is kept
--@ guard
local q = redis.call('HMGET', KEYS[1], 'n', 'r')
if q[1] ~= op[2] or q[2] ~= op[3] then return 2 end
newer = redis.call('LRANGE', KEYS[op[5]], op[6], -1)
if op[4] == 'final' then
  for i = 1, #newer do
    if string.byte(newer[i]) == 83 then return 7 end
  end
end
return 1
--@ settle
for first = 10, #op, 1000 do
  redis.call('RPUSH', KEYS[op[5]], unpack(op, first, math.min(first + 999, #op)))
end
if op[9] and op[9] ~= op[3] then redis.call('HSET', KEYS[1], 'r', op[9]) end
if op[4] == 'keep' or (op[4] == 'release' and #newer > 0) then
  said = newer
else
  acknowledge(KEYS[2], op[7], op[8])
  redis.call('HDEL', KEYS[1], 't')
end

-- start: no open run has the id, and the closed one that has it may be put aside.
-- {'start', request, reuse, run id put aside or '', position of its archive or 0, group or '', {entry ids}, consumer or ''}
-- RETURNS: {3, run id} started by this request before; {9, run id} open; {10, run id} closed and not to be reused;
--          {11, run id} closed: call again with its archive
--@ guard
if op[8] ~= '' and not holds(KEYS[2], op[6], op[8], op[7][1]) then return 6 end
local q = redis.call('HMGET', KEYS[1], 'n', 'q', ':', 'y')
if q[1] then
  if op[2] ~= '' and q[2] == op[2] then return { 3, q[1] } end
  if tonumber(q[3]) > 0 then return { 9, q[1] } end
  if op[3] == 'reject' or (op[3] == 'failed_only' and q[4] == 'completed') then return { 10, q[1] } end
  if q[1] ~= op[4] then return { 11, q[1] } end
end
newer = q[1]
return 1
--@ settle
if op[6] ~= '' then acknowledge(KEYS[2], op[6], op[7]) end
if newer then redis.call('RENAME', KEYS[1], KEYS[op[5]]) end

-- input: something happened to a run: its record joins the history, and the run is woken unless it is awake. Inputs do not
-- compare the revision: each closes a step of its own, or has a receipt, so their order among themselves is free.
-- {'input', run id or '', step or '', its value, position of the history, record, position of the common stream,
--  position of the keeper's stream or 0, of its life or 0, task, position of a receipt or 0, receipt_ms, items max,
--  group or '', {entry ids}, consumer or ''}
--@ guard
local q = redis.call('HMGET', KEYS[1], 'n', ':', 't', op[3] == '' and 'n' or op[3])
if not q[1] or (op[2] ~= '' and q[1] ~= op[2]) or tonumber(q[2]) <= 0 then return 8 end
if op[16] ~= '' and not holds(KEYS[2], op[14], op[16], op[15][1]) then return 6 end
if op[3] ~= '' and q[4] ~= op[4] then return 3 end
if op[11] > 0 and redis.call('EXISTS', KEYS[op[11]]) == 1 then return 3 end
if redis.call('LLEN', KEYS[op[5]]) >= op[13] then return 5 end
redis.call('XLEN', KEYS[op[7]])
if op[8] > 0 then redis.call('XLEN', KEYS[op[8]]) end
newer = q[3]
return 1
--@ settle
if op[14] ~= '' then acknowledge(KEYS[2], op[14], op[15]) end
if op[3] ~= '' then redis.call('HDEL', KEYS[1], op[3]) end
if op[11] > 0 then redis.call('SET', KEYS[op[11]], '1', 'PX', op[12]) end
local at = redis.call('RPUSH', KEYS[op[5]], op[6]) - 1
if not newer then
  redis.call('HSET', KEYS[1], 't', '1')
  local stream = KEYS[op[7]]
  -- For the worker that keeps the run in memory while that one lives, else for any.
  if op[8] > 0 and redis.call('EXISTS', KEYS[op[9]]) == 1 then stream = KEYS[op[8]] end
  rouse(stream, op[10], op[6], at)
end

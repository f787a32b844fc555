-- step: an open step of a run changes hands (a retry, a hand-over) without a record. {'step', run id, step, its value,
--  group or '', {entry ids}, consumer or ''}
--@ guard
local q = redis.call('HMGET', KEYS[1], 'n', ':', op[3])
if q[1] ~= op[2] or tonumber(q[2]) <= 0 then return 8 end
if op[7] ~= '' and not holds(KEYS[2], op[5], op[7], op[6][1]) then return 6 end
if q[3] ~= op[4] then return 3 end
return 1
--@ settle
if op[5] ~= '' then acknowledge(KEYS[2], op[5], op[6]) end

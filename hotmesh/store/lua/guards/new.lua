-- new: the job id is unused, the version is the active one, and the backlog is bounded.
-- {'new', request id or '', version or '', backlog max, position of the backlog's stream, group, {entry ids}, consumer or ''}
-- The active version is compared here so that a whole fleet switches at one write. A start that finds its own request id was
-- applied before: its reply was lost.
--@ guard
local q = redis.call('HMGET', KEYS[1], 'r', 'q')
if q[1] then
  if op[2] ~= '' and q[2] == op[2] then return 3 end
  return 2
end
-- An engine that was stopped while a sibling ran this very child to its end must not run it again.
if op[6] and op[8] ~= '' then
  for i = 1, #op[7] do
    if not holds(KEYS[2], op[6], op[8], op[7][i]) then return 6 end
  end
end
if op[3] ~= '' and redis.call('GET', KEYS[3]) ~= op[3] then return 4 end
if op[5] > 0 and redis.call('XLEN', KEYS[op[5]]) >= op[4] then return 5 end
return 1
--@ settle
if op[6] then acknowledge(KEYS[2], op[6], op[7]) end

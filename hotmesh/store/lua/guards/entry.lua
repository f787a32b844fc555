-- entry: the job still has the revision that was decided on. {'entry', rev, group, {entry ids}, consumer or ''}
-- The revision is the proof, and is compared before anything is acknowledged; XACK is bookkeeping.
--@ guard
if (redis.call('HGET', KEYS[1], 'r') or '') ~= op[2] then return 2 end
if op[5] ~= '' then
  for i = 1, #op[4] do
    if not holds(KEYS[2], op[3], op[5], op[4][i]) then return 6 end
  end
end
return 1
--@ settle
acknowledge(KEYS[2], op[3], op[4])

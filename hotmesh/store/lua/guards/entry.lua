-- entry: the job still has the revision that was decided on. {'entry', rev, group, {entry ids}, consumer or ''}
-- The revision is the proof, and is compared before anything is acknowledged; XACK is bookkeeping.
GUARDS['entry'] = function(g)
  if (redis.call('HGET', KEYS[1], 'r') or '') ~= g[2] then return 2 end
  if g[5] ~= '' then
    for i = 1, #g[4] do
      if not holds(KEYS[2], g[3], g[5], g[4][i]) then return 6 end
    end
  end
  return 1
end
SETTLE['entry'] = function(g)
  acknowledge(KEYS[2], g[3], g[4])
end

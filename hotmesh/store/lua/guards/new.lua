-- new: the job id is unused, the version is the active one, and the backlog is bounded.
-- {'new', request id or '', version or '', backlog max, position of the backlog's stream, group, {entry ids}}
-- The active version is compared here so that a whole fleet switches at one write. A start that finds its own request id was
-- applied before: its reply was lost.
GUARDS['new'] = function(g)
  local q = redis.call('HMGET', KEYS[1], 'r', 'q')
  if q[1] then
    if g[2] ~= '' and q[2] == g[2] then return 3 end
    return 2
  end
  if g[3] ~= '' and redis.call('GET', KEYS[3]) ~= g[3] then return 4 end
  if g[5] > 0 and redis.call('XLEN', KEYS[g[5]]) >= g[4] then return 5 end
  return 1
end
SETTLE['new'] = function(g)
  if g[6] then acknowledge(KEYS[2], g[6], g[7]) end
end

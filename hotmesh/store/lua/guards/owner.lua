-- owner: this consumer still holds the entry. {'owner', group, consumer, entry id}
-- Looked at first: XACK alone would acknowledge an entry that a sibling has claimed, and drop the sibling's result.
GUARDS['owner'] = function(g)
  if not holds(KEYS[2], g[2], g[3], g[4]) then return 6 end
  return 1
end
SETTLE['owner'] = function(g)
  acknowledge(KEYS[2], g[2], { g[4] })
end

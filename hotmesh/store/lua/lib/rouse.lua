-- rouse.lua: a run has something to look at: an entry for whoever is chosen.
local function rouse(stream, task, record, at)
  redis.call('XADD', stream, '*', 'p', task, 'd', record, 'at', at)
end

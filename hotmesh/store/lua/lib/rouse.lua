-- rouse.lua: a run has something to look at: an entry for the worker that keeps it in memory while that one lives, else for any.
local function rouse(common, keeper, life, task, record, at)
  local stream = common
  if keeper and redis.call('EXISTS', life) == 1 then stream = keeper end
  redis.call('XADD', stream, '*', 'p', task, 'd', record, 'at', at)
end

-- overdue.lua: whether a signal that came early has waited for its whole time. Its list holds it as '1' if it ends the wait,
-- else '0', until when it waits (ms, 15 digits), the signal. Each has its own time; the list is kept as long as the last.
local function overdue(item, now_ms)
  return tonumber(string.sub(item, 2, 16)) < now_ms
end

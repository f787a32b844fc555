-- apply.lua: one transition. The only script that writes jobs.
-- KEYS: job (hash), entry stream, then whatever the ops name by position; all of one hash tag; no key is built here
-- ARGV: one MessagePack array {guard, ops, skew_ms}
--       guard: {name, ...} of guards/<name>.lua    ops: array of {name, ...} of ops/<name>.lua
-- RETURNS: 1 APPLIED · 2 STALE · 3 DUPLICATE · 4 VERSION · 5 OVERLOADED · 6 LOST; all but 1 have written nothing
-- CALLER: store/jobs.py apply        INCLUDES: now, holds, acknowledge, deliver, guards/*, ops/*
local command = cmsgpack.unpack(ARGV[1])
local guard, ops = command[1], command[2]
local skew_ms = command[3]
local verdict = GUARDS[guard[1]](guard)
if verdict ~= 1 then return verdict end
for i = 1, #ops do
  local check = CHECKS[ops[i][1]]
  local refusal = check and check(ops[i])
  if refusal then return refusal end
end
local settle = SETTLE[guard[1]]
if settle then settle(guard) end
for i = 1, #ops do
  OPS[ops[i][1]](ops[i], skew_ms)
end
return 1

-- apply.lua: one transition. The only script that writes jobs.
-- KEYS: job (hash), entry stream, then whatever the ops name by position; all of one hash tag; no key is built here
-- ARGV: one MessagePack array {guard, ops, skew_ms}
--       guard: {name, ...} of guards/<name>.lua    ops: array of {name, ...} of ops/<name>.lua
-- RETURNS: 1 APPLIED · 2 STALE · 3 DUPLICATE · 4 VERSION · 5 OVERLOADED · 6 LOST · 7 UNSEEN · 8 GONE; all but 1 have written nothing;
--          of some guards an array, as they say
-- CALLER: store/jobs.py apply        INCLUDES: said, now, holds, acknowledge, deliver, rouse, guards/*, ops/*
-- The loader makes one function of each kind of section (guard, settle, check, run) with a branch per file: a table of closures
-- would be built anew at every call.
local command = cmsgpack.unpack(ARGV[1])
local ops, skew_ms = command[2], command[3]
local verdict = guard(command[1])
if verdict ~= 1 then return verdict end
for i = 1, #ops do
  local refusal = check(ops[i])
  if refusal then return refusal end
end
settle(command[1])
for i = 1, #ops do
  run(ops[i], skew_ms)
end
return said or 1

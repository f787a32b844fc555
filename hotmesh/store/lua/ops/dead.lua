-- dead: keep an entry that nobody could handle, with its reason, and with what it needs to be given another life.
-- {'dead', position of the dead letters, payload, reason, stream's name, job id, deliveries, length max, its field 'd' or '',
--  its field 'to' or ''}
--@ check
redis.call('XLEN', KEYS[op[2]])
--@ run
local fields = { 'p', op[3], 'reason', op[4], 'stream', op[5], 'job', op[6], 'deliveries', op[7] }
if op[9] ~= '' then
  fields[#fields + 1] = 'd'
  fields[#fields + 1] = op[9]
end
if op[10] ~= '' then
  fields[#fields + 1] = 'to'
  fields[#fields + 1] = op[10]
end
redis.call('XADD', KEYS[op[2]], 'MAXLEN', '~', op[8], '*', unpack(fields))

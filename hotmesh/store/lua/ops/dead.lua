-- dead: keep an entry that nobody could handle, with its reason.
-- {'dead', position of the dead letters, payload, reason, stream's name, job id, deliveries, length max}
--@ check
redis.call('XLEN', KEYS[op[2]])
--@ run
redis.call('XADD', KEYS[op[2]], 'MAXLEN', '~', op[8], '*', 'p', op[3], 'reason', op[4],
  'stream', op[5], 'job', op[6], 'deliveries', op[7])

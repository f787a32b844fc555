-- first: refuse what was done before under this receipt. {'first', position of the receipt, receipt_ms}
-- The job's id is no proof here: its record may have expired before the entry that started it is delivered again.
--@ check
if redis.call('EXISTS', KEYS[op[2]]) == 1 then return 3 end
--@ run
redis.call('SET', KEYS[op[2]], '1', 'PX', op[3])

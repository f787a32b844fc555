-- delete: the job's record goes. {'delete'}
--@ run
redis.call('UNLINK', KEYS[1])

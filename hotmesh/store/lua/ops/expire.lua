-- expire: delete the job later. {'expire', after_ms}
--@ run
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', op[2]))

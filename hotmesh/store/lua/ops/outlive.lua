-- outlive: another key goes when the job's record goes. {'outlive', position, after_ms}
--@ run
redis.call('PEXPIRE', KEYS[op[2]], string.format('%.0f', op[3]))

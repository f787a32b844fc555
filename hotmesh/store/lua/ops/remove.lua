-- remove: delete a key. {'remove', position}
--@ run
redis.call('UNLINK', KEYS[op[2]])

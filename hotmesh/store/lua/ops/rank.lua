-- rank: join an index with a score, or leave it. {'rank', position of the index, member, score or ''}
--@ check
redis.call('ZCARD', KEYS[op[2]])
--@ run
if op[4] == '' then
  redis.call('ZREM', KEYS[op[2]], op[3])
else
  redis.call('ZADD', KEYS[op[2]], op[4], op[3])
end

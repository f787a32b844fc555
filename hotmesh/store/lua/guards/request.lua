-- request: a client's call on a running job; as entry, with nothing to acknowledge. {'request', rev}
--@ guard
if (redis.call('HGET', KEYS[1], 'r') or '') ~= op[2] then return 2 end
return 1

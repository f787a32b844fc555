-- expire: delete the job later. {'expire', after_ms}
OPS['expire'] = function(op)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', op[2]))
end

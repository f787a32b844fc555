-- delete: the job's record goes. {'delete'}
OPS['delete'] = function()
  redis.call('UNLINK', KEYS[1])
end

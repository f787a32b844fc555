-- reader: as owner, but the entry stays in its stream, where other groups read it too. {'reader', group, consumer, entry id}
--@ guard
if not holds(KEYS[2], op[2], op[3], op[4]) then return 6 end
return 1
--@ settle
redis.call('XACK', KEYS[2], op[2], op[4])

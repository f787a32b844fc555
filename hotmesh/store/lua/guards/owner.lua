-- owner: this consumer still holds the entry. {'owner', group, consumer, entry id, '1' to leave it in the stream}
-- Looked at first: XACK alone would acknowledge an entry that a sibling has claimed, and drop the sibling's result.
--@ guard
if not holds(KEYS[2], op[2], op[3], op[4]) then return 6 end
return 1
--@ settle
acknowledge(KEYS[2], op[2], { op[4] }, op[5] == '1')

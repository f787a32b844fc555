-- said.lua: what the script answers in place of 1, and the inputs of a run that its worker has not seen.
local said, newer

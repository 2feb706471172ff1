-- What holds were for came to nothing.
-- KEYS: see counters.lua
-- ARGV: ids
-- 1 when there was a hold of one of them.
-- include counters
local ended = 0
for _, id in ipairs(ARGV) do
    if end_hold(id) then
        ended = 1
    end
end
return ended

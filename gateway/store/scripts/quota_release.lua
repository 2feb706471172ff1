-- What a hold was for came to nothing.
-- KEYS: see counters.lua
-- ARGV: id
-- 1 when there was a hold.
-- include counters
return end_hold(ARGV[1]) and 1 or 0

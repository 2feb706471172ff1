-- A virtual key goes, with its alias.
-- KEYS: see key_index.lua; 5 the record
-- ARGV: hash
-- 1; 0 when there was none.
-- include key_index
local record = redis.call('GET', KEYS[5])
if not record then
    return 0
end
free_alias(ARGV[1], record)
unindex(ARGV[1], record)
return redis.call('DEL', KEYS[5])

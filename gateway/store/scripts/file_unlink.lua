-- The way back from a provider's id goes, if it still leads to this file.
-- KEYS: the way back
-- ARGV: "<owner> <file id>"
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0

-- A record goes with its index entries.
-- KEYS: the record; the index of all, of the purpose, of the provider, of both
-- ARGV: the member of the indexes
-- 1; 0 when it was gone already.
for i = 2, #KEYS do
    redis.call('ZREM', KEYS[i], ARGV[1])
end
return redis.call('DEL', KEYS[1])

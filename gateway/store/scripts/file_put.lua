-- A new file record with its index entries.
-- KEYS: the record; the index of all, of the purpose, of the provider, of both
-- ARGV: the record, the member of the indexes
-- 1; 0 when the id exists.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then
    return 0
end
for i = 2, #KEYS do
    redis.call('ZADD', KEYS[i], 0, ARGV[2])
end
return 1

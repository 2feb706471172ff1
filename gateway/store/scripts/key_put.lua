-- A new virtual key.
-- KEYS: the record, the index by time, the aliases
-- ARGV: hash, alias ('' is none), seconds of its creation, record
-- 1; 0 when the key exists or the alias is taken.
local hash, alias = ARGV[1], ARGV[2]
if alias ~= '' and redis.call('HEXISTS', KEYS[3], alias) == 1 then
    return 0
end
if not redis.call('SET', KEYS[1], ARGV[4], 'NX') then
    return 0
end
redis.call('ZADD', KEYS[2], ARGV[3], hash)
if alias ~= '' then
    redis.call('HSET', KEYS[3], alias, hash)
end
return 1

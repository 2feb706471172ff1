-- A new virtual key.
-- KEYS: see key_index.lua; 5 the record
-- ARGV: hash, alias ('' is none), seconds of its creation, record
-- 1; 0 when the key exists or the alias is taken.
-- include key_index
local hash, alias = ARGV[1], ARGV[2]
if alias ~= '' and redis.call('HEXISTS', KEYS[2], alias) == 1 then
    return 0
end
if not redis.call('SET', KEYS[5], ARGV[4], 'NX') then
    return 0
end
index(hash, ARGV[4], ARGV[3])
if alias ~= '' then
    redis.call('HSET', KEYS[2], alias, hash)
end
return 1

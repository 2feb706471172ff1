-- Another record for a virtual key, maybe under another hash.
-- KEYS: see key_index.lua; 5 the old record, 6 the new one (maybe the same)
-- ARGV: old hash, old record, new hash, new alias ('' is none), new record
-- 1; 0 when the record changed meanwhile, or the hash or the alias is taken.
-- include key_index
local old_hash, old_record = ARGV[1], ARGV[2]
local hash, alias, record = ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', KEYS[5]) ~= old_record then
    return 0
end
if hash ~= old_hash and redis.call('EXISTS', KEYS[6]) == 1 then
    return 0
end
if alias ~= '' then
    local holder = redis.call('HGET', KEYS[2], alias)
    if holder and holder ~= old_hash then
        return 0
    end
end
local created = redis.call('ZSCORE', KEYS[1], old_hash) or 0
free_alias(old_hash, old_record)
unindex(old_hash, old_record)
redis.call('DEL', KEYS[5])
redis.call('SET', KEYS[6], record)
index(hash, record, created)
if alias ~= '' then
    redis.call('HSET', KEYS[2], alias, hash)
end
return 1

-- Another record for a virtual key, maybe under another hash.
-- KEYS: the old record, the new one (maybe the same), the index, the aliases
-- ARGV: old hash, old record, new hash, new alias ('' is none), new record
-- 1; 0 when the record changed meanwhile, or the hash or the alias is taken.
local old_hash, old_record = ARGV[1], ARGV[2]
local hash, alias, record = ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', KEYS[1]) ~= old_record then
    return 0
end
if hash ~= old_hash and redis.call('EXISTS', KEYS[2]) == 1 then
    return 0
end
if alias ~= '' then
    local holder = redis.call('HGET', KEYS[4], alias)
    if holder and holder ~= old_hash then
        return 0
    end
end
local old_alias = cjson.decode(old_record).key_alias
local created = redis.call('ZSCORE', KEYS[3], old_hash) or 0
redis.call('SET', KEYS[2], record)
if hash ~= old_hash then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[3], old_hash)
    redis.call('ZADD', KEYS[3], created, hash)
end
if type(old_alias) == 'string' and old_alias ~= alias
   and redis.call('HGET', KEYS[4], old_alias) == old_hash then
    redis.call('HDEL', KEYS[4], old_alias)
end
if alias ~= '' then
    redis.call('HSET', KEYS[4], alias, hash)
end
return 1

-- A virtual key goes, with its alias.
-- KEYS: the record, the index by time, the aliases
-- ARGV: hash
-- 1; 0 when there was none.
local record = redis.call('GET', KEYS[1])
if not record then
    return 0
end
local is_read, key = pcall(cjson.decode, record)
local alias = is_read and key.key_alias
if type(alias) == 'string'
   and redis.call('HGET', KEYS[3], alias) == ARGV[1] then
    redis.call('HDEL', KEYS[3], alias)
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])

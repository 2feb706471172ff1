-- A team goes.
-- KEYS: the record, the index by time
-- ARGV: id
-- 1; 0 when there was none.
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])

-- An upload is recorded, refused or mended: its entry goes.
-- KEYS: the entries, the ends of their leases, their tries
-- ARGV: id
-- 1 when there was one.
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])

-- An upload is recorded, refused or mended: its entry goes.
-- KEYS: the entries, the ends of their leases, their tries, the holds
-- ARGV: id
-- 1 when there was one.
if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])

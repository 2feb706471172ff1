-- An upload begins (or goes on at another provider): note it, with a lease.
-- KEYS: the entries, the ends of their leases, their tries
-- ARGV: id, entry, lease in ms
-- 1 when the id is new.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[2], now_ms + ARGV[3], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])

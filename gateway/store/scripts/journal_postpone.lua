-- An entry could not be mended: later, and counted.
-- KEYS: the entries, the ends of their leases, their tries
-- ARGV: id, by how many ms
-- 1 when it is there.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[2], now_ms + ARGV[2], ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1

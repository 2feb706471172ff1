-- A new job. Those that were kept long enough leave the index.
-- KEYS: the record, the index, those not over; what the keys of records start
--       with
-- ARGV: id, record, seconds it is kept
-- 1; 0 when the id exists.
if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'EX', ARGV[3]) then
    return 0
end
local now = redis.call('TIME')
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('ZADD', KEYS[3], now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, 15)) do
    if redis.call('EXISTS', KEYS[4] .. id) == 0 then
        redis.call('ZREM', KEYS[2], id)
    end
end
return 1

-- A job came a step further.
-- KEYS: the record, those not over, the report, what is to be done
-- ARGV: id, what the stored record starts with, the new one, seconds it is
--       kept, ms until the next step ('' when it is over), how many of what is
--       to be done are done, how many entries of the report; these entries,
--       then entries of what is to be done
-- 1; 0 when the record is another by now.
local id, start, kept, delay = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local taken, reported = tonumber(ARGV[6]), tonumber(ARGV[7])
local stored = redis.call('GET', KEYS[1])
if not stored or string.sub(stored, 1, #start) ~= start then
    return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'EX', kept)
if taken > 0 then
    redis.call('LTRIM', KEYS[4], taken, -1)
end
for i = 8, #ARGV do
    redis.call('RPUSH', i < 8 + reported and KEYS[3] or KEYS[4], ARGV[i])
end
redis.call('EXPIRE', KEYS[3], kept)
if delay == '' then
    redis.call('ZREM', KEYS[2], id)
    redis.call('DEL', KEYS[4])
else
    local now = redis.call('TIME')
    local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
    redis.call('ZADD', KEYS[2], now_ms + delay, id)
    redis.call('EXPIRE', KEYS[4], kept)
end
return 1

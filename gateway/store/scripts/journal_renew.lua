-- The leases of entries and holds end later.
-- KEYS: the ends of the leases, the tries
-- ARGV: lease in ms, id, id, ...
-- 1 when all of them are there.
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[1]
local all = 1
for i = 2, #ARGV do
    if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
        redis.call('ZADD', KEYS[1], due, ARGV[i])
        redis.call('HDEL', KEYS[2], ARGV[i])
    else
        all = 0
    end
end
return all

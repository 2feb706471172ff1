-- Be the sweeper, or stay it.
-- KEYS: who sweeps
-- ARGV: who asks, lease in ms
-- 1 when it is he.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1

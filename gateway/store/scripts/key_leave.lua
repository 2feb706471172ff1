-- Requests end that counted as under way.
-- KEYS: see counters.lua
-- ARGV: their slots
-- include counters
for _, slot in ipairs(ARGV) do
    local hold = read_hold(slot)
    if hold then
        count_hold(hold, -1)
        redis.call('HDEL', HOLDS, slot)
        redis.call('ZREM', DUE, slot)
    end
end

-- Is another upload under way that is like this one?
-- KEYS: the entries, the ends of their leases, their tries
-- ARGV: id, what the text of an entry alike holds
-- 1 when there is one.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local live = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now_ms, '+inf')
for _, id in ipairs(live) do
    local entry = id ~= ARGV[1] and redis.call('HGET', KEYS[1], id)
    -- What was tried is no upload under way: its mending was put off.
    if entry and string.find(entry, ARGV[2], 1, true)
       and redis.call('HEXISTS', KEYS[3], id) == 0 then
        return 1
    end
end
return 0

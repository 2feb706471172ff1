-- The entries whose lease ended, the longest ago first.
-- KEYS: the entries, the ends of their leases, their tries
-- ARGV: how many
-- {entry, tries, entry, tries, ...}
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms,
                       'LIMIT', 0, ARGV[1])
local due = {}
for _, id in ipairs(ids) do
    local entry = redis.call('HGET', KEYS[1], id)
    if entry then
        due[#due + 1] = entry
        due[#due + 1] = redis.call('HGET', KEYS[3], id) or '0'
    end
end
return due

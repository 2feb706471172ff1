-- The batches that should be looked at, the longest ago first.
-- KEYS: see counters.lua
-- ARGV: how many, by how many ms those are put off that are being made
-- "<owner> <id>", ...
-- include counters
local due = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', WATCH, '-inf', now,
                                   'LIMIT', 0, ARGV[1])) do
    local id = string.match(member, '[^ ]+$')
    if redis.call('HEXISTS', ENTRIES, id) == 1 then
        redis.call('ZADD', WATCH, now + ARGV[2], member)
    else
        due[#due + 1] = member
    end
end
return due

-- Holds whose lease ended are released, but for those with an entry in the
-- journal: what became of their files is for the sweeper to find out.
-- KEYS: see counters.lua
-- ARGV: how many to look at
-- How many were released.
-- include counters
local released = 0
local ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0,
                       ARGV[1])
for _, id in ipairs(ids) do
    if redis.call('HEXISTS', ENTRIES, id) == 0 and end_hold(id) then
        released = released + 1
    end
end
return released

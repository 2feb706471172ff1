-- What scopes have used.
-- KEYS: see counters.lua
-- ARGV: the scopes
-- For each: files, bytes, held files, held bytes, up, down, requests of today,
-- requests of the last minute, requests under way, active batches, lines of
-- batches today.
-- include counters
local all = {}
for _, scope in ipairs(ARGV) do
    local use = redis.call('HMGET', USE .. scope, 'files', 'bytes',
                           'held_files', 'held_bytes', 'slots',
                           'batches')
    local day = redis.call('HMGET', DAY .. today .. ':' .. scope, 'up',
                           'down', 'requests', 'lines')
    for _, n in ipairs({use[1], use[2], use[3], use[4], day[1], day[2], day[3],
                        (in_window(scope)), use[5], use[6], day[4]}) do
        all[#all + 1] = tonumber(n or 0)
    end
end
return all

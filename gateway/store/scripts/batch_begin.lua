-- A batch is about to be made: it is active from now on, its lines count.
-- KEYS: see counters.lua
-- ARGV: id, lease in ms, the journal's entry, "<owner> <id>", ms until it is
--       looked at, lines; for each scope: its id, the limits of active batches
--       and of lines per day (0: none)
-- {0}; {limit, scope, its value, used, ms to wait}: refused
-- include counters
local ACTIVE, LINES = 7, 8 -- of enum quota_limit
local id, lines = ARGV[1], tonumber(ARGV[6])

local function refusal()
    local wait = math.max((today + 1) * DAY_S * 1000 - now, 0)
    for i = 7, #ARGV, 3 do
        local scope, n = ARGV[i], (i - 7) / 3
        local most, most_lines = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
        local used = tonumber(redis.call('HGET', USE .. scope, 'batches') or 0)
        if most > 0 and used + 1 > most then
            return {ACTIVE, n, most, used, 0}
        end
        used = tonumber(redis.call('HGET', DAY .. today .. ':' .. scope,
                                   'lines') or 0)
        if most_lines > 0 and used + lines > most_lines then
            return {LINES, n, most_lines, used,
                    lines > most_lines and 0 or wait}
        end
    end
end

if redis.call('HEXISTS', BATCHES, id) == 0 then
    local refused = refusal()
    if refused then
        return refused
    end
    local batch = {day = today, lines = lines, scopes = {}}
    for i = 7, #ARGV, 3 do
        table.insert(batch.scopes, ARGV[i])
        add(ARGV[i], 'batches', 1)
        add_day(ARGV[i], today, 'lines', lines)
    end
    redis.call('HSET', BATCHES, id, cmsgpack.pack(batch))
    redis.call('ZADD', WATCH, now + ARGV[5], ARGV[4])
end
redis.call('ZADD', DUE, now + ARGV[2], id)
redis.call('HSET', ENTRIES, id, ARGV[3])
redis.call('HDEL', TRIES, id)
return {0}

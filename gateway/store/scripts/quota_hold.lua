-- Hold the most that something may use up, and begin its lease.
-- KEYS: see counters.lua
-- ARGV: id, lease in ms, the journal's entry ('' is none), files, bytes, up,
--       down; for each scope: its id and the limits of these four (0: none)
-- {0}: held; {limit, scope, its value, used, ms to wait}: refused
-- include counters
-- include room
local id, lease, entry = ARGV[1], ARGV[2], ARGV[3]
local hold = read_hold(id)
if not hold then
    hold = {day = today, slots = 0, scopes = {}, files = tonumber(ARGV[4]),
            bytes = tonumber(ARGV[5]), up = tonumber(ARGV[6]),
            down = tonumber(ARGV[7])}
    local nothing = {files = 0, bytes = 0, up = 0, down = 0}
    local refused = refusal(8, hold, nothing, today)
    if refused then
        return refused
    end
    for i = 8, #ARGV, 5 do
        table.insert(hold.scopes, ARGV[i])
    end
    count_hold(hold, 1)
    redis.call('HSET', HOLDS, id, cmsgpack.pack(hold))
end
redis.call('ZADD', DUE, now + lease, id)
if entry ~= '' then
    redis.call('HSET', ENTRIES, id, entry)
    redis.call('HDEL', TRIES, id)
end
return {0}

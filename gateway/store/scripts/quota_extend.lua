-- More of a hold, all of it or nothing.
-- KEYS: see counters.lua
-- ARGV: id, files, bytes, up, down; for each scope: its id and its limits
-- {0}: held; {-1}: there is no such hold; else what refused, as quota_hold
-- include counters
-- include room
local hold = read_hold(ARGV[1])
if not hold then
    return {-1}
end
local more = {day = hold.day, scopes = hold.scopes, slots = 0,
              files = tonumber(ARGV[2]), bytes = tonumber(ARGV[3]),
              up = tonumber(ARGV[4]), down = tonumber(ARGV[5])}
local refused = refusal(6, more, hold, hold.day)
if refused then
    return refused
end
count_hold(more, 1)
for _, what in ipairs({'files', 'bytes', 'up', 'down'}) do
    hold[what] = hold[what] + more[what]
end
redis.call('HSET', HOLDS, ARGV[1], cmsgpack.pack(hold))
return {0}

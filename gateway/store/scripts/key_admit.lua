-- A request comes in: is its key as we know it, and may it pass?
-- KEYS: see counters.lua; 2 the key's record, 3 the team's (or no such KEYS)
-- ARGV: the two records as they are known ('' is none), the name of the slot
--       ('' takes none), its lease in ms; for each scope: its id, its requests
--       per minute and at a time (0: no limit)
-- {record, record}: they are not as known; nothing was taken
-- "limit, requests left, ms until there is one more, refused by (0: none,
--  5: rpm, 6: parallel), scope, the limit's value, used, ms to wait", with
--  spaces between: the rate is of the scope that has the fewest left, its limit
--  0 when none has one. One text is read faster than nine elements.
-- include counters
local RPM, PARALLEL = 5, 6
local key = redis.call('GET', KEYS[2])
local team = KEYS[3] and redis.call('GET', KEYS[3]) or ''
if key ~= ARGV[1] or team ~= ARGV[2] then
    return {key, team ~= '' and team}
end

local slot, scopes = ARGV[3], {}
for i = 5, #ARGV, 3 do
    scopes[#scopes + 1] = {id = ARGV[i], rpm = tonumber(ARGV[i + 1]),
                           parallel = tonumber(ARGV[i + 2])}
end

local rate = {limit = 0, left = 0, reset = 0}
local refused
for i, s in ipairs(scopes) do
    if s.rpm > 0 then
        local n, oldest = in_window(s.id)
        if n > s.rpm then -- when as many are left as make room for one
            oldest = redis.call('LINDEX', TIMES .. s.id, n - s.rpm)
        end
        local reset = (oldest or now) + WINDOW_MS - now
        local left = math.max(s.rpm - n, 0)
        if rate.limit == 0 or left < rate.left then
            rate = {limit = s.rpm, left = left, reset = reset}
        end
        if left == 0 and not refused then
            refused = {RPM, i - 1, s.rpm, n, reset}
        end
    end
end

-- The slot of each scope, or of none of them.
local function take_slot()
    local hold = {day = today, slots = 1, files = 0, bytes = 0, up = 0,
                  down = 0, scopes = {}}
    for i, s in ipairs(scopes) do
        hold.scopes[i] = s.id
    end
    if redis.call('HSETNX', HOLDS, slot, cmsgpack.pack(hold)) == 0 then
        return -- it was asked for before
    end
    for i, s in ipairs(scopes) do
        local n = redis.call('HINCRBY', USE .. s.id, 'slots', 1)
        if s.parallel > 0 and n > s.parallel and not refused then
            refused = {PARALLEL, i - 1, s.parallel, n - 1, 0}
        end
    end
    if refused then
        count_hold(hold, -1)
        redis.call('HDEL', HOLDS, slot)
        return
    end
    redis.call('ZADD', DUE, now + ARGV[4], slot)
end

if slot ~= '' and not refused then
    take_slot()
end
if refused then
    return string.format('%d %d %d %d %d %d %d %d', rate.limit, rate.left,
                         rate.reset, unpack(refused))
end
for _, s in ipairs(scopes) do
    if s.rpm > 0 then
        push_time(s.id)
    end
end
return string.format('%d %d %d 0 0 0 0 0', rate.limit,
                     math.max(rate.left - 1, 0), rate.reset)

-- Counters of scopes and the holds on them.
-- KEYS: 1 the holds, 2 the ends of the leases, 3 the journal's entries,
--       4 their tries, 5 the files that count; and what the keys start with
--       that end in a scope: 6 counters, 7 days (before the scope: day and
--       colon), 9 times of requests; 8: of the scopes of a day, before the day
local DAYS_KEPT = 90 -- QUOTA_DAYS of quota.h
local DAY_S, WINDOW_MS = 86400, 60000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local today = math.floor(time[1] / DAY_S)

local function add(scope, counter, n)
    if n ~= 0 then
        redis.call('HINCRBY', KEYS[6] .. scope, counter, n)
    end
end

local function add_day(scope, day, counter, n)
    local key = KEYS[7] .. day .. ':' .. scope
    local is_new = n ~= 0 and redis.call('EXISTS', key) == 0
    if n == 0 or (is_new and n < 0) then
        return -- what is given back was of a day that is not kept any more
    end
    redis.call('HINCRBY', key, counter, n)
    if is_new then
        local last = (day + DAYS_KEPT + 1) * DAY_S
        redis.call('EXPIREAT', key, last)
        redis.call('ZADD', KEYS[8] .. day, 0, scope)
        redis.call('EXPIREAT', KEYS[8] .. day, last)
    end
end

-- A hold is {day, scopes, slots, files, bytes, up, down}.
local function read_hold(id)
    local text = redis.call('HGET', KEYS[1], id)
    return text and cmsgpack.unpack(text)
end

-- All of its amounts come to (1) or go from (-1) what its scopes hold.
local function count_hold(hold, sign)
    for _, scope in ipairs(hold.scopes) do
        add(scope, 'slots', sign * hold.slots)
        add(scope, 'held_files', sign * hold.files)
        add(scope, 'held_bytes', sign * hold.bytes)
        add_day(scope, hold.day, 'held_up', sign * hold.up)
        add_day(scope, hold.day, 'held_down', sign * hold.down)
    end
end

-- The hold and the journal's entry of that id end. The hold, if there was one.
local function end_hold(id)
    local hold = read_hold(id)
    if hold then
        count_hold(hold, -1)
        redis.call('HDEL', KEYS[1], id)
    end
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[4], id)
    return hold
end

-- The times of the requests of the last minute remain; how many they are.
local function in_window(scope)
    local key = KEYS[9] .. scope
    local oldest = redis.call('LINDEX', key, 0)
    while oldest and tonumber(oldest) <= now - WINDOW_MS do
        redis.call('LPOP', key)
        oldest = redis.call('LINDEX', key, 0)
    end
    return redis.call('LLEN', key)
end

-- Counters of scopes and the holds on them.
-- KEYS: 1 what they all begin with (the rest is in the same slot of a cluster)
local HOLDS, DUE = KEYS[1] .. 'holds', KEYS[1] .. 'due'
local ENTRIES, TRIES = KEYS[1] .. 'entries', KEYS[1] .. 'tries'
local COUNTED = KEYS[1] .. 'counted'
local GONE, GONE_MS = KEYS[1] .. 'gone:', 3600000 -- behind it comes an id
local BATCHES, WATCH = KEYS[1] .. 'batches', KEYS[1] .. 'watch'
-- What these start with: behind it comes a scope; a day, a colon and a scope; a
-- day; a scope.
local USE, DAY, DAYS = KEYS[1] .. 'use:', KEYS[1] .. 'day:', KEYS[1] .. 'days:'
local TIMES = KEYS[1] .. 'rpm:'
local DAYS_KEPT = 90 -- QUOTA_DAYS of quota.h
local DAY_S, WINDOW_MS = 86400, 60000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local today = math.floor(time[1] / DAY_S)

local function add(scope, counter, n)
    if n ~= 0 then
        redis.call('HINCRBY', USE .. scope, counter, n)
    end
end

local function add_day(scope, day, counter, n)
    local key = DAY .. day .. ':' .. scope
    local is_new = n ~= 0 and redis.call('EXISTS', key) == 0
    if n == 0 or (is_new and n < 0) then
        return -- what is given back was of a day that is not kept any more
    end
    redis.call('HINCRBY', key, counter, n)
    if is_new then
        local last = (day + DAYS_KEPT + 1) * DAY_S
        redis.call('EXPIREAT', key, last)
        redis.call('ZADD', DAYS .. day, 0, scope)
        redis.call('EXPIREAT', DAYS .. day, last)
    end
end

-- A hold is {day, scopes, slots, files, bytes, up, down}.
local function read_hold(id)
    local text = redis.call('HGET', HOLDS, id)
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
        redis.call('HDEL', HOLDS, id)
    end
    redis.call('ZREM', DUE, id)
    redis.call('HDEL', ENTRIES, id)
    redis.call('HDEL', TRIES, id)
    return hold
end

-- The times of the requests of the last minute remain: how many they are, and
-- the oldest. They are kept for two windows from the last time that some went,
-- or the first came: whoever asks later than one window after that makes some
-- go, so none is lost that counts.
local function in_window(scope)
    local key = TIMES .. scope
    local oldest = redis.call('LINDEX', key, 0)
    local is_changed = not oldest
    while oldest and tonumber(oldest) <= now - WINDOW_MS do
        redis.call('LPOP', key)
        oldest = redis.call('LINDEX', key, 0)
        is_changed = true
    end
    if not oldest then
        return 0
    end
    if is_changed then
        redis.call('PEXPIRE', key, 2 * WINDOW_MS)
    end
    return redis.call('LLEN', key), oldest
end

local function push_time(scope)
    local key = TIMES .. scope
    if redis.call('RPUSH', key, now) == 1 then
        redis.call('PEXPIRE', key, 2 * WINDOW_MS)
    end
end

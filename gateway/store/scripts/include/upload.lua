-- One upload in parts, all of it under its owner's tag.
-- KEYS: 1 the upload, 2 its parts, 3 those under way, 4 what the records of its
--       owner's files start with
local UPLOAD, PARTS, UNDER_WAY, FILES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- pending, completing, completed, cancelled, expired; nil: there is none. Whoever
-- completes it holds a lease: when that has ended, the file's record tells
-- whether it was done.
local function read_state()
    local v = redis.call('HMGET', UPLOAD, 'state', 'ends', 'lease', 'file')
    local state = v[1]
    if not state then
        return nil
    end
    if state == 'completing' and tonumber(v[3]) <= now then
        local is_done = redis.call('EXISTS', FILES .. v[4]) == 1
        state = is_done and 'completed' or 'pending'
        redis.call('HSET', UPLOAD, 'state', state)
    end
    if state == 'pending' and tonumber(v[2]) <= now then
        state = 'expired'
    end
    return state
end

-- What is under way is "until bytes object".
local function read_under_way(text)
    local ends, bytes, object = string.match(text, '^(%d+) (%d+) (.*)$')
    return tonumber(ends), tonumber(bytes), object
end

local function number_of(field)
    return tonumber(redis.call('HGET', UPLOAD, field) or 0)
end

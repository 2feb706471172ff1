-- A page of virtual keys, the newest first.
-- KEYS: the index by time; the aliases; what the keys of records, of the
--       indexes of teams and of users start with
-- ARGV: how many to pass over, how many; team, user, alias ('' is any)
-- {number of all such keys, hash, record, hash, record, ...}
local offset, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local team, user, alias = ARGV[3], ARGV[4], ARGV[5]
local by_team, by_user = KEYS[4] .. team, KEYS[5] .. user

local function is_wanted(hash)
    return (team == '' or redis.call('ZSCORE', by_team, hash)) and
           (user == '' or redis.call('ZSCORE', by_user, hash))
end

local function page_of(hashes, total, first)
    local page = {total}
    for i = first, math.min(first + limit - 1, #hashes) do
        local record = redis.call('GET', KEYS[3] .. hashes[i])
        if record then
            page[#page + 1] = hashes[i]
            page[#page + 1] = record
        end
    end
    return page
end

if alias ~= '' or (team ~= '' and user ~= '') then
    local hashes = {}
    local candidates = alias ~= '' and {redis.call('HGET', KEYS[2], alias)} or
                       redis.call('ZREVRANGE', by_team, 0, -1)
    for _, hash in ipairs(candidates) do
        if hash and is_wanted(hash) then
            hashes[#hashes + 1] = hash
        end
    end
    return page_of(hashes, #hashes, offset + 1)
end
local index = team ~= '' and by_team or user ~= '' and by_user or KEYS[1]
return page_of(redis.call('ZREVRANGE', index, offset, offset + limit - 1),
               redis.call('ZCARD', index), 1)

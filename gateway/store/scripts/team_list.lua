-- A page of teams, the newest first.
-- KEYS: the index by time; what the keys of the records start with
-- ARGV: how many to pass over, how many
-- {number of all teams, id, record, id, record, ...}
local offset, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local page = {redis.call('ZCARD', KEYS[1])}
local ids = redis.call('ZREVRANGE', KEYS[1], offset, offset + limit - 1)
for _, id in ipairs(ids) do
    local record = redis.call('GET', KEYS[2] .. id)
    if record then
        page[#page + 1] = id
        page[#page + 1] = record
    end
end
return page

-- A page of virtual keys, the newest first.
-- KEYS: the index by time; what the keys of the records start with
-- ARGV: how many to pass over, how many
-- {number of all keys, hash, record, hash, record, ...}
local offset, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local page = {redis.call('ZCARD', KEYS[1])}
local hashes = redis.call('ZREVRANGE', KEYS[1], offset, offset + limit - 1)
for _, hash in ipairs(hashes) do
    local record = redis.call('GET', KEYS[2] .. hash)
    if record then
        page[#page + 1] = hash
        page[#page + 1] = record
    end
end
return page

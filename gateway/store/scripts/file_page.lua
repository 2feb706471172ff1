-- A page of records, in the order of an index.
-- KEYS: the index; what the keys of the records start with
-- ARGV: asc or desc, where to start, where to stop, how many
-- {1 when no more follow, record, record, ...}
local limit = tonumber(ARGV[4])
local read = ARGV[1] == 'asc' and 'ZRANGEBYLEX' or 'ZREVRANGEBYLEX'
local start = ARGV[2]
local records, more = {}, true

-- Once, unless a Redis that evicts keys took records out of the middle.
while more and #records < limit do
    -- One more than is wanted tells whether any follow.
    local want = limit - #records
    local members = redis.call(read, KEYS[1], start, ARGV[3],
                               'LIMIT', 0, want + 1)
    local keys = {}
    for i = 1, math.min(want, #members) do
        -- Behind the ULID (26 characters) and a space comes the file's id.
        keys[i] = KEYS[2] .. string.sub(members[i], 28)
        start = '(' .. members[i]
    end
    more = #members > want
    if #keys > 0 then
        for _, record in ipairs(redis.call('MGET', unpack(keys))) do
            if record then
                records[#records + 1] = record
            end
        end
    end
end
return {more and 0 or 1, unpack(records)}

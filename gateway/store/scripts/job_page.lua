-- A page of jobs, the newest first.
-- KEYS: the index; what the keys of the records start with
-- ARGV: where to start, how many
-- {1 when no more follow, record, record, ...}
local limit = tonumber(ARGV[2])
local start, records, more = ARGV[1], {}, true
while more and #records < limit do
    local want = limit - #records
    local ids = redis.call('ZREVRANGEBYLEX', KEYS[1], start, '-', 'LIMIT', 0,
                           want + 1)
    more = #ids > want
    for i = 1, math.min(want, #ids) do
        local record = redis.call('GET', KEYS[2] .. ids[i])
        records[#records + 1] = record or nil
        start = '(' .. ids[i]
    end
end
return {more and 0 or 1, unpack(records)}

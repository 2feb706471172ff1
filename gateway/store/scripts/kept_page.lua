-- A page of kept objects, in the order of their making.
-- KEYS: the index; what the keys of the records start with
-- ARGV: asc or desc, the id to start behind, the one to stop before ('': none),
--       how many, the member of the index to start behind instead ('': none)
-- {1 when no more follow, 1 when both ids are there, record, record, ...}
local ascending = ARGV[1] == 'asc'
local limit = tonumber(ARGV[4])
local known = 1

-- The place of an id in the index; nil when it has none.
local function place(id)
    local record = redis.call('GET', KEYS[2] .. id)
    if not record then
        known = 0
        return nil
    end
    return '(' .. cjson.decode(record).ulid .. ' ' .. id
end

local first = ascending and '-' or '+'
local last = ascending and '+' or '-'
if ARGV[5] ~= '' then
    first = '(' .. ARGV[5]
elseif ARGV[2] ~= '' then
    first = place(ARGV[2])
end
if ARGV[3] ~= '' then
    last = place(ARGV[3])
end
if known == 0 then
    return {1, 0}
end

local read = ascending and 'ZRANGEBYLEX' or 'ZREVRANGEBYLEX'
local records, more = {}, true
-- Once, unless a Redis that evicts keys took records out of the middle.
while more and #records < limit do
    -- One more than is wanted tells whether any follow.
    local want = limit - #records
    local members = redis.call(read, KEYS[1], first, last,
                               'LIMIT', 0, want + 1)
    local keys = {}
    for i = 1, math.min(want, #members) do
        -- Behind the ULID (26 characters) and a space comes the id.
        keys[i] = KEYS[2] .. string.sub(members[i], 28)
        first = '(' .. members[i]
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
return {more and 0 or 1, 1, unpack(records)}

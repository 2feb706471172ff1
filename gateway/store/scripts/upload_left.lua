-- Some of the parts of an upload, stored or not: what may still lie there. One
-- that is under way is not told before its lease has ended: it may come to lie
-- there yet.
-- KEYS: see upload.lua
-- ARGV: about how many
-- {how many are under way, id, object, id, object, …}
-- include upload
local under_way, out = 0, {0}
local function scan(key, add)
    local cursor = '0'
    repeat
        local page = redis.call('HSCAN', key, cursor, 'COUNT', ARGV[1])
        cursor = page[1]
        for i = 1, #page[2], 2 do
            add(page[2][i], page[2][i + 1])
        end
    until #out > 1 or cursor == '0'
end
local function put(id, object)
    out[#out + 1] = id
    out[#out + 1] = object
end
scan(PARTS, function(id, text)
    put(id, string.match(text, '^%d+ (.*)$'))
end)
if #out == 1 then
    scan(UNDER_WAY, function(id, text)
        local ends, _, object = read_under_way(text)
        if ends <= now then
            put(id, object)
        else
            under_way = under_way + 1
        end
    end)
end
out[1] = under_way
return out

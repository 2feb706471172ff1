-- Some kept objects of an owner are forgotten.
-- KEYS: the index of a kind; what the keys of the records start with; what the
--       indexes of its providers start with
-- ARGV: how many at most
-- 1 when there may be more.
local members = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)
for _, member in ipairs(members) do
    local key = KEYS[2] .. string.sub(member, 28)
    local record = redis.call('GET', key)
    if record then
        local provider = cjson.decode(record).provider
        provider = string.gsub(provider, '[{}%%]', function(c)
            return string.format('%%%02X', string.byte(c))
        end)
        redis.call('ZREM', KEYS[3] .. provider, member)
        redis.call('DEL', key)
    end
    redis.call('ZREM', KEYS[1], member)
end
return #members == tonumber(ARGV[1]) and 1 or 0

-- Another text for a batch's record that is there.
-- KEYS: the record
-- ARGV: the record, 1 if it is final
-- 1; 0 when it is gone, or what is there is final and this is not: an answer
-- that was overtaken on its way.
local old = redis.call('GET', KEYS[1])
if not old then
    return 0
end
if ARGV[2] ~= '1' and cjson.decode(old).final then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1

-- A part is about to be stored; or, again, is still under way.
-- KEYS: see upload.lua
-- ARGV: its id, the object it becomes, the bytes it has (0: unknown), lease in
--       ms, 1 if it was begun before, how many parts there may be
-- {state, bytes that are left for it}; the state is 'full' when it is too large,
-- 'many' when there are too many, 'gone' when it was given up, '' for none
-- include upload
local id, most = ARGV[1], tonumber(ARGV[3])
local state = read_state()
if state ~= 'pending' then
    return {state or '', 0}
end
local is_known = redis.call('HEXISTS', UNDER_WAY, id) == 1
if ARGV[5] == '1' and not is_known then
    return {'gone', 0}
end
local left = number_of('bytes') - number_of('stored')
local others = redis.call('HGETALL', UNDER_WAY)
for i = 1, #others, 2 do
    local ends, bytes = read_under_way(others[i + 1])
    if others[i] ~= id and ends > now then
        left = left - bytes
    end
end
if most > left then
    return {'full', left}
end
if not is_known and #others / 2 + redis.call('HLEN', PARTS)
                    >= tonumber(ARGV[6]) then
    return {'many', left}
end
redis.call('HSET', UNDER_WAY, id,
           string.format('%d %d %s', now + ARGV[4], most, ARGV[2]))
redis.call('PEXPIRE', UNDER_WAY, redis.call('PTTL', UPLOAD))
return {state, left}

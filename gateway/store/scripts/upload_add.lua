-- A part is stored.
-- KEYS: see upload.lua
-- ARGV: its id, its bytes, the provider's id
-- {state, 0}: it counts if that is 'pending'; else as upload_begin
-- include upload
local id, bytes = ARGV[1], tonumber(ARGV[2])
local state = read_state()
if state ~= 'pending' then
    return {state or '', 0}
end
if redis.call('HEXISTS', UNDER_WAY, id) == 0 then
    return {'gone', 0}
end
local left = number_of('bytes') - number_of('stored')
if bytes > left then
    return {'full', left}
end
redis.call('HDEL', UNDER_WAY, id)
redis.call('HSET', PARTS, id, string.format('%d %s', bytes, ARGV[3]))
redis.call('PEXPIRE', PARTS, redis.call('PTTL', UPLOAD))
redis.call('HINCRBY', UPLOAD, 'stored', bytes)
return {state, 0}

-- A file that a provider made counts, unless it was counted before. What is
-- being deleted, or was of late, does not any more.
-- KEYS: see counters.lua
-- ARGV: id, bytes; the scopes
-- 1 when it counts.
-- include counters
local id, bytes = ARGV[1], tonumber(ARGV[2])
local scopes = {unpack(ARGV, 3)}
if redis.call('EXISTS', GONE .. id) == 1 or
   redis.call('HEXISTS', ENTRIES, id) == 1 then
    return 0
end
if redis.call('HEXISTS', COUNTED, id) == 0 then
    for _, scope in ipairs(scopes) do
        add(scope, 'files', 1)
        add(scope, 'bytes', bytes)
    end
    redis.call('HSET', COUNTED, id,
               cmsgpack.pack({bytes = bytes, scopes = scopes}))
end
return 1

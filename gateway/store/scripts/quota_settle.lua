-- What a hold was for is done: charge what was used. A file counts once.
-- KEYS: see counters.lua
-- ARGV: id, files (0 or 1), bytes, up, down; the scopes, if there is no hold
-- 1 when there was a hold.
-- include counters
local id, files, bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local hold = end_hold(id)
local scopes = hold and hold.scopes or {unpack(ARGV, 6)}
local day = hold and hold.day or today
local is_counted = files > 0 and redis.call('HEXISTS', COUNTED, id) == 1
if not is_counted then
    for _, scope in ipairs(scopes) do
        add(scope, 'files', files)
        add(scope, 'bytes', files * bytes)
        add_day(scope, day, 'up', tonumber(ARGV[4]))
        add_day(scope, day, 'down', tonumber(ARGV[5]))
    end
end
if files > 0 and not is_counted then
    redis.call('HSET', COUNTED, id,
               cmsgpack.pack({bytes = bytes, scopes = scopes}))
end
return hold and 1 or 0

-- Back to where quota_move took it from, if its entry is still there; else it is
-- released. Lease and entry of the other one end.
-- KEYS: see counters.lua
-- ARGV: from, to, the bytes that were held there
-- 1 when it is back.
-- include counters
local from, to = ARGV[1], ARGV[2]
local text = redis.call('HGET', HOLDS, from)
if not text or redis.call('HEXISTS', ENTRIES, to) == 0
   or redis.call('HEXISTS', HOLDS, to) == 1 then
    end_hold(from)
    return 0
end
-- What it was extended by meanwhile is nobody's.
local hold, bytes = cmsgpack.unpack(text), tonumber(ARGV[3])
count_hold({day = hold.day, scopes = hold.scopes, slots = 0, files = 0,
            bytes = hold.bytes - bytes, up = 0, down = 0}, -1)
hold.bytes = bytes
redis.call('HSET', HOLDS, to, cmsgpack.pack(hold))
redis.call('HDEL', HOLDS, from)
end_hold(from)
return 1

-- A file is gone: it does not count any longer, nor again when somebody who
-- asked its provider before has the answer now (quota_found).
-- KEYS: see counters.lua
-- ARGV: its id
-- 1 when it was counted.
-- include counters
local id = ARGV[1]
end_hold(id)
redis.call('SET', GONE .. id, '', 'PX', GONE_MS)
local text = redis.call('HGET', COUNTED, id)
if not text then
    return 0
end
local file = cmsgpack.unpack(text)
for _, scope in ipairs(file.scopes) do
    add(scope, 'files', -1)
    add(scope, 'bytes', -file.bytes)
end
return redis.call('HDEL', COUNTED, id)

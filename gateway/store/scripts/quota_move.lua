-- What is held under one id is held under another one from now on, with its own
-- lease and entry. The first one's lease and entry stay.
-- KEYS: see counters.lua
-- ARGV: from, to, lease in ms, the journal's entry
-- 1; 0 when there was nothing.
-- include counters
local text = redis.call('HGET', HOLDS, ARGV[1])
if not text then
    return 0
end
redis.call('HDEL', HOLDS, ARGV[1])
redis.call('HSET', HOLDS, ARGV[2], text)
redis.call('ZADD', DUE, now + ARGV[3], ARGV[2])
redis.call('HSET', ENTRIES, ARGV[2], ARGV[4])
redis.call('HDEL', TRIES, ARGV[2])
return 1

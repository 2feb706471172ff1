-- What became of a batch.
-- KEYS: see counters.lua
-- ARGV: id, "<owner> <id>", enum batch_seen, ms until the next look (-1: none)
-- 1 when it was active until now.
-- include counters
local RUNS, LOST, REFUSED = 0, 2, 3
local id, member, seen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local look = tonumber(ARGV[4])
local text = seen ~= RUNS and redis.call('HGET', BATCHES, id)
if text then
    local batch = cmsgpack.unpack(text)
    for _, scope in ipairs(batch.scopes) do
        add(scope, 'batches', -1)
        if seen == REFUSED then
            add_day(scope, batch.day, 'lines', -batch.lines)
        end
    end
    redis.call('HDEL', BATCHES, id)
end
if seen == LOST or seen == REFUSED then
    end_hold(id)
end
if look < 0 then
    redis.call('ZREM', WATCH, member)
else
    redis.call('ZADD', WATCH, 'XX', now + look, member)
end
return text and 1 or 0

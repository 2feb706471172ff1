-- The job whose next step has been due the longest.
-- KEYS: those not over; what the keys of the records start with
-- Its record; nil when none is due.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
while true do
    local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms,
                          'LIMIT', 0, 1)[1]
    local record = id and redis.call('GET', KEYS[2] .. id)
    if record or not id then
        return record
    end
    redis.call('ZREM', KEYS[1], id) -- it was kept for long enough
end

-- ARGV from `first` on: for each scope, its id and the limits of files, bytes,
-- up and down. The first limit that `more` would pass, of the holder of `own`:
-- {limit, scope, its value, used by others, ms to wait}; nil when none.
local function refusal(first, more, own, day)
    local wait = math.max((day + 1) * DAY_S * 1000 - now, 0)
    for i = first, #ARGV, 5 do
        local use, on = USE .. ARGV[i], DAY .. day .. ':' .. ARGV[i]
        local limits = {
            {'files', use, 'files', 'held_files', 0},
            {'bytes', use, 'bytes', 'held_bytes', 0},
            {'up', on, 'up', 'held_up', wait},
            {'down', on, 'down', 'held_down', wait},
        }
        for n, l in ipairs(limits) do
            local max, what = tonumber(ARGV[i + n]), l[1]
            if max > 0 and more[what] > 0 then
                local used = redis.call('HMGET', l[2], l[3], l[4])
                local others = (used[1] or 0) + (used[2] or 0) - own[what]
                local mine = own[what] + more[what]
                if others + mine > max then
                    return {n, (i - first) / 5, max, others,
                            mine > max and 0 or l[5]}
                end
            end
        end
    end
end

-- The days of scopes.
-- KEYS: see counters.lua
-- ARGV: a scope, or what scopes start with ('', or up to the first colon), the
--       first day, the last day
-- {scope, day, requests, errors, up, down, ...}
-- include counters
local wanted, rows = ARGV[1], {}
local from, to = '[' .. wanted, '[' .. wanted
if wanted == '' then
    from, to = '-', '+'
elseif string.find(wanted, '^[^:]*:$') then
    to = '(' .. wanted .. '\255' -- no UTF-8 has this byte
end
for day = tonumber(ARGV[2]), tonumber(ARGV[3]) do
    local scopes = redis.call('ZRANGEBYLEX', DAYS .. day, from, to)
    for _, scope in ipairs(scopes) do
        local row = redis.call('HMGET', DAY .. day .. ':' .. scope,
                               'requests', 'errors', 'up', 'down')
        local sum = 0
        for n = 1, 4 do
            row[n] = tonumber(row[n] or 0)
            sum = sum + row[n]
        end
        if sum > 0 then -- else something was held only
            for _, v in ipairs({scope, day, unpack(row)}) do
                rows[#rows + 1] = v
            end
        end
    end
end
return rows

-- Requests and bytes of the last seconds, to the day of their scopes.
-- KEYS: see counters.lua
-- ARGV: for each scope: its id, requests, errors, up, down
-- 1
-- include counters
for i = 1, #ARGV, 5 do
    for n, counter in ipairs({'requests', 'errors', 'up', 'down'}) do
        add_day(ARGV[i], today, counter, tonumber(ARGV[i + n]))
    end
end
return 1

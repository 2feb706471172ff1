-- Do the counters of scopes agree with the files that count?
-- KEYS: the files that count, scopes to be checked, what the keys of counters
--       start with
-- ARGV: the most files that are added up, 1 to set right what differs
-- {scope, files, bytes, files and bytes as they should be, ...}; nil when there
-- are too many files
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then
    return nil
end
local sums, scopes = {}, {}
local function sum_of(scope)
    if not sums[scope] then
        sums[scope] = {files = 0, bytes = 0}
        scopes[#scopes + 1] = scope
    end
    return sums[scope]
end

for _, scope in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    sum_of(scope)
end
local cursor = '0'
local seen = {} -- a scan may return a file twice
repeat
    local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do
        if not seen[page[2][i]] then
            local file = cmsgpack.unpack(page[2][i + 1])
            seen[page[2][i]] = true
            for _, scope in ipairs(file.scopes) do
                local sum = sum_of(scope)
                sum.files = sum.files + 1
                sum.bytes = sum.bytes + file.bytes
            end
        end
    end
until cursor == '0'

table.sort(scopes)
local rows = {}
for _, scope in ipairs(scopes) do
    local key, sum = KEYS[3] .. scope, sums[scope]
    local use = redis.call('HMGET', key, 'files', 'bytes')
    local files, bytes = tonumber(use[1] or 0), tonumber(use[2] or 0)
    if files ~= sum.files or bytes ~= sum.bytes then
        for _, v in ipairs({scope, files, bytes, sum.files, sum.bytes}) do
            rows[#rows + 1] = v
        end
        if ARGV[2] == '1' then
            redis.call('HSET', key, 'files', string.format('%.0f', sum.files),
                       'bytes', string.format('%.0f', sum.bytes))
        end
    end
end
return rows

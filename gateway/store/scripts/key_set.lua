-- One member of a virtual key's record, set or added.
-- KEYS: the record
-- ARGV: the member's name, its value as JSON
-- The record as it is now; nil when there is no such key.
--
-- The text is edited, not decoded and encoded: cjson would turn [] into {} and
-- round large numbers.
local record = redis.call('GET', KEYS[1])
if not record then
    return nil
end

-- Where the string that starts at i ends.
local function string_end(i)
    local c
    repeat
        i = string.find(record, '["\\]', i + 1)
        c = string.sub(record, i, i)
        if c == '\\' then
            i = i + 1
        end
    until c == '"'
    return i
end

-- Where the value that starts at i ends: before a comma or the closing brace
-- of the record itself.
local function value_end(i)
    local depth = 0
    while true do
        i = string.find(record, '["{}%[%],]', i)
        local c = string.sub(record, i, i)
        if c == '"' then
            i = string_end(i)
        elseif c == '{' or c == '[' then
            depth = depth + 1
        elseif depth == 0 then
            return i - 1
        elseif c ~= ',' then
            depth = depth - 1
        end
        i = i + 1
    end
end

local member = cjson.encode(ARGV[1]) .. ':'
local changed
local i = 2
while not changed and string.sub(record, i, i) == '"' do
    local value = string_end(i) + 2
    local last = value_end(value)
    if string.sub(record, i, value - 1) == member then
        changed = string.sub(record, 1, value - 1) .. ARGV[2] ..
                  string.sub(record, last + 1)
    end
    i = last + 2
end
if not changed then
    local comma = record == '{}' and '' or ','
    changed = string.sub(record, 1, -2) .. comma .. member .. ARGV[2] .. '}'
end
redis.call('SET', KEYS[1], changed)
return changed

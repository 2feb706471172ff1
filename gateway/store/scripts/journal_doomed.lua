-- Is a file of that name to be deleted?
-- KEYS: the entries
-- ARGV: what the text of an entry of such a file holds
-- 1 when it is.
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
    if string.find(entry, ARGV[1], 1, true)
       and string.find(entry, '"kind":"delete"', 1, true) then
        return 1
    end
end
return 0

-- A page of what a job noted, as far as it is still counted and nothing is
-- under way with it.
-- KEYS: the files that count, the job's set, the journal's entries, the holds
-- ARGV: cursor, how many
-- {next cursor, id, id, ...}
local page = redis.call('SSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local unseen = {page[1]}
for _, id in ipairs(page[2]) do
    if redis.call('HEXISTS', KEYS[1], id) == 1
       and redis.call('HEXISTS', KEYS[3], id) == 0
       and redis.call('HEXISTS', KEYS[4], id) == 0 then
        unseen[#unseen + 1] = id
    end
end
return unseen

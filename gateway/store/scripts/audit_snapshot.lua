-- A page of the files that count, noted for a job.
-- KEYS: the files that count, the job's set
-- ARGV: cursor, how many
-- {next cursor}
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
for i = 1, #page[2], 2 do
    redis.call('SADD', KEYS[2], page[2][i])
end
redis.call('EXPIRE', KEYS[2], 86400)
return {page[1]}

-- Another record for a team.
-- KEYS: the record
-- ARGV: the record as it was read, the new one
-- 1; 0 when it changed meanwhile.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1

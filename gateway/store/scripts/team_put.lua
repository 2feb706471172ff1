-- A new team.
-- KEYS: the record, the index by time
-- ARGV: id, seconds of its creation, record
-- 1; 0 when the team exists.
if not redis.call('SET', KEYS[1], ARGV[3], 'NX') then
    return 0
end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1

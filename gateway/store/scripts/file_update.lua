-- Another text for a record that is there.
-- KEYS: the record
-- ARGV: the record
-- 1; 0 when it is gone: it is not brought back.
if redis.call('SET', KEYS[1], ARGV[1], 'XX') then
    return 1
end
return 0

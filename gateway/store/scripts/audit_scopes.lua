-- Scopes to be checked.
-- KEYS: the job's set
-- ARGV: scopes
-- 1
for _, scope in ipairs(ARGV) do
    redis.call('SADD', KEYS[1], scope)
end
redis.call('EXPIRE', KEYS[1], 86400)
return 1

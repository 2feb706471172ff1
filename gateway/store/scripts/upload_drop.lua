-- Parts that are nowhere any more.
-- KEYS: see upload.lua
-- ARGV: their ids
-- 1
-- include upload
for i = 1, #ARGV do
    redis.call('HDEL', PARTS, ARGV[i])
    redis.call('HDEL', UNDER_WAY, ARGV[i])
end
return 1

-- Parts that are nowhere any more; those that counted do so no longer.
-- KEYS: see upload.lua
-- ARGV: their ids
-- 1
-- include upload
for i = 1, #ARGV do
    local text = redis.call('HGET', PARTS, ARGV[i])
    if text and redis.call('EXISTS', UPLOAD) == 1 then
        redis.call('HINCRBY', UPLOAD, 'stored',
                   '-' .. string.match(text, '^%d+'))
    end
    redis.call('HDEL', PARTS, ARGV[i])
    redis.call('HDEL', UNDER_WAY, ARGV[i])
end
return 1

-- A new upload.
-- KEYS: see upload.lua
-- ARGV: the record, its bytes, its life in ms, for how long it is remembered
-- 1; 0 when the id exists.
-- include upload
if redis.call('HSETNX', UPLOAD, 'record', ARGV[1]) == 0 then
    return 0
end
redis.call('HSET', UPLOAD, 'state', 'pending', 'bytes', ARGV[2],
           'ends', now + ARGV[3], 'stored', 0)
redis.call('PEXPIRE', UPLOAD, ARGV[4])
return 1

-- Complete an upload, into a file of that id; or go on doing so.
-- KEYS: see upload.lua
-- ARGV: the file's id, lease in ms
-- {state, 0}: it may be completed if that was 'pending'
-- include upload
local state = read_state()
if state == 'completing' and redis.call('HGET', UPLOAD, 'file') == ARGV[1] then
    state = 'pending'
end
if state == 'pending' then
    redis.call('HSET', UPLOAD, 'state', 'completing', 'file', ARGV[1],
               'lease', now + ARGV[2])
end
return {state or '', 0}

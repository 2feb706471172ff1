-- An upload, and some of its parts.
-- KEYS: see upload.lua
-- ARGV: ids of parts
-- nil; {state, record, bytes of the parts, part, part, …}: '' is not there
-- include upload
local state = read_state()
if not state then
    return nil
end
local out = {state, redis.call('HGET', UPLOAD, 'record'), number_of('stored')}
for i = 1, #ARGV do
    out[#out + 1] = redis.call('HGET', PARTS, ARGV[i]) or ''
end
return out

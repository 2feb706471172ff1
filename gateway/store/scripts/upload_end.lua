-- An upload ends; or what began to complete it gives it back.
-- KEYS: see upload.lua
-- ARGV: the new state: completed, cancelled, expired or pending; the file's id
-- {state, record}: now; nil: there is none. It is another one than what was
-- asked for if that is no way out of what it was.
-- include upload
local wanted = ARGV[1]
local state = read_state()
if not state then
    return nil
end
local is_own = redis.call('HGET', UPLOAD, 'file') == ARGV[2]
local may = {
    completed = state == 'completing' and is_own,
    pending = state == 'completing' and is_own,
    cancelled = state == 'pending',
    expired = state == 'pending' or state == 'expired',
}
if may[wanted] then
    state = wanted
    redis.call('HSET', UPLOAD, 'state', state)
end
return {state, redis.call('HGET', UPLOAD, 'record')}

-- KEYS: 1 the index by time, 2 the aliases; what starts the keys of the
--       indexes of 3 teams and 4 users
local function members(record)
    local is_read, key = pcall(cjson.decode, record)
    return is_read and type(key) == 'table' and key or {}
end

local function indexes(key)
    local all = {KEYS[1]}
    for i, member in pairs({[3] = 'team_id', [4] = 'user_id'}) do
        if type(key[member]) == 'string' and key[member] ~= '' then
            all[#all + 1] = KEYS[i] .. key[member]
        end
    end
    return all
end

local function index(hash, record, created)
    for _, name in ipairs(indexes(members(record))) do
        redis.call('ZADD', name, created, hash)
    end
end

local function unindex(hash, record)
    for _, name in ipairs(indexes(members(record))) do
        redis.call('ZREM', name, hash)
    end
end

-- The alias, unless it has become another key's.
local function free_alias(hash, record)
    local alias = members(record).key_alias
    if type(alias) == 'string'
       and redis.call('HGET', KEYS[2], alias) == hash then
        redis.call('HDEL', KEYS[2], alias)
    end
end

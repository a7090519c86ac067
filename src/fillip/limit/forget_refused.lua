-- Forgets events of one tenant that the HTTP door refused and that are of one user; locks nothing.
-- KEYS: the hash and the sorted set of them. ARGV: how the values of the user's begin.
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, #ARGV[1]) == ARGV[1] then
        redis.call('HDEL', KEYS[1], all[i])
        redis.call('ZREM', KEYS[2], all[i])
    end
end

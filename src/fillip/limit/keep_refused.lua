-- Keeps events of one tenant that the HTTP door refused: the newest so many, for so long; locks nothing.
-- KEYS: the hash and the sorted set of them. ARGV: now in ms, seconds that one is kept, most that are kept, then key and value of each.
local refused, order, now, keeps_s, most = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('HLEN', refused) ~= redis.call('ZCARD', order) then -- one of the two was thrown away for room
    redis.call('UNLINK', refused, order)
end
for i = 4, #ARGV, 2 do
    redis.call('HSET', refused, ARGV[i], ARGV[i + 1])
    redis.call('ZADD', order, now, ARGV[i])
end
local function drop(keys)
    if #keys > 0 then
        redis.call('HDEL', refused, unpack(keys))
        redis.call('ZREM', order, unpack(keys))
    end
end
drop(redis.call('ZRANGEBYSCORE', order, '-inf', now - 1000 * keeps_s, 'LIMIT', 0, 1000))
drop(redis.call('ZRANGE', order, 0, -most - 1))
redis.call('EXPIRE', refused, keeps_s)
redis.call('EXPIRE', order, keeps_s)

-- Some users of one window of a leaderboard as the ledger has them: absolute values, of one writer; locks nothing.
-- KEYS: the tenant's hash of boards, the window's sorted set, its hash of users.
-- ARGV: the field of the edition, the field of the window's count; then of each user id, instant (8 bytes) and score; '' for one who stands there no more.
-- Returns how many stand there then; -1 where what was there is not all there: nothing is written.
local before = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0')
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or redis.call('ZCARD', KEYS[2]) ~= before or redis.call('HLEN', KEYS[3]) ~= before then
    return -1
end
for at = 3, #ARGV, 3 do
    local user, instant, score = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local was = redis.call('HGET', KEYS[3], user)
    if was and was ~= instant then
        redis.call('ZREM', KEYS[2], was .. user)
    end
    if score ~= '' then
        redis.call('ZADD', KEYS[2], '-' .. score, instant .. user)
        if was ~= instant then
            redis.call('HSET', KEYS[3], user, instant)
        end
    elseif was then
        redis.call('HDEL', KEYS[3], user)
    end
end
local count = redis.call('ZCARD', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[2], count)
return count

-- Some users of one window of a leaderboard in their order; locks nothing.
-- KEYS: the tenant's hash of boards, the window's sorted set, its hash of users.
-- ARGV: the board's field and what it should hold, the field of its edition and of the window's count; the first rank from 0, and how many; then, where those around one
-- user are asked for, the user's id: then it is so many to either side, and none where the user stands nowhere.
-- Returns how many users stand there, until when all is counted where that is not as of the run, the rank from 0 of the first found, and
-- member and score of each; -1 where what was there is not all there, or the board has moved.
local count = redis.call('ZCARD', KEYS[2])
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] or redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0
    or count ~= tonumber(redis.call('HGET', KEYS[1], ARGV[4]) or '0')
    or count ~= redis.call('HLEN', KEYS[3]) then
    return -1
end
local behind = redis.call('HGET', KEYS[1], 'behind') or ''
local first, last = tonumber(ARGV[5]), tonumber(ARGV[5]) + tonumber(ARGV[6]) - 1
if ARGV[7] then
    local instant = redis.call('HGET', KEYS[3], ARGV[7])
    if not instant then
        return { count, behind, 0, {} }
    end
    local rank, most = redis.call('ZRANK', KEYS[2], instant .. ARGV[7]), tonumber(ARGV[6])
    first, last = math.max(0, rank - most), rank + most
end
if last < first then
    return { count, behind, first, {} }
end
return { count, behind, first, redis.call('ZRANGE', KEYS[2], first, last, 'WITHSCORES') }

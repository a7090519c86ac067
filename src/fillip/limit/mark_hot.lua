-- Keeps which campaigns of one tenant are hot, and counts some exactly besides; locks nothing.
-- KEYS: the hot campaigns, the sample. ARGV: now, and until when a campaign is hot that is so now (Unix seconds), most that
-- are hot, most of the sample, seconds that the sample lives, how many campaigns are hot now; their ids; then of each that
-- may be of the sample its id and how many events.
-- Returns how many were not taken as hot for their number; the true count of each that may be of the sample, -1 where it is
-- not of it; and all that are hot, as HGETALL gives them: id, "since until", and so on.
local hot, sample, now, cool_at = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
local held, refused, counts = 0, 0, {}

local stated = redis.call('HGETALL', hot)
for i = 1, #stated, 2 do
    if tonumber(string.match(stated[i + 1], '%d+$')) <= now then -- it has cooled down
        redis.call('HDEL', hot, stated[i])
    else
        held = held + 1
    end
end
for i = 7, 6 + ARGV[6] do
    local since = string.match(redis.call('HGET', hot, ARGV[i]) or '', '^%d+')
    if since or held < tonumber(ARGV[3]) then
        held = held + (since and 0 or 1)
        redis.call('HSET', hot, ARGV[i], (since or ARGV[1]) .. ' ' .. cool_at)
        redis.call('EXPIREAT', hot, cool_at)
    else
        refused = refused + 1
    end
end
for i = 7 + ARGV[6], #ARGV, 2 do
    if redis.call('HLEN', sample) < tonumber(ARGV[4]) or redis.call('HEXISTS', sample, ARGV[i]) == 1 then
        counts[#counts + 1] = redis.call('HINCRBY', sample, ARGV[i], ARGV[i + 1])
        redis.call('EXPIRE', sample, ARGV[5])
    else
        counts[#counts + 1] = -1
    end
end
return { refused, counts, redis.call('HGETALL', hot) }

-- Counts decisions on users of one hot campaign, keeping those with most; locks nothing.
-- Space-Saving (Metwally, Agrawal, El Abbadi, 2005): where no room is left, a new user takes the place and the count of the
-- one with least. So a count may be too high by the least count, never too low, and nobody with more than that is missing.
-- KEYS: the campaign's users. ARGV: seconds that they live, most users; then of each user the id and how many decisions.
local users, most = KEYS[1], tonumber(ARGV[2])
local held = redis.call('ZCARD', users)
for i = 3, #ARGV, 2 do
    local count = tonumber(ARGV[i + 1])
    if not redis.call('ZSCORE', users, ARGV[i]) then
        if held >= most then
            count = count + tonumber(redis.call('ZPOPMIN', users)[2])
        else
            held = held + 1
        end
    end
    redis.call('ZINCRBY', users, count, ARGV[i])
end
redis.call('EXPIRE', users, ARGV[1])
return held

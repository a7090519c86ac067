-- Takes tokens from a bucket. KEYS: the bucket; ARGV: tokens a second, tokens it holds, needed, wanted at best.
-- Returns what was given (0 or at least what is needed), what is left, and in how many ms there is enough.
local per_s, size, needed, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at_us')
local tokens = tonumber(held[1]) or size
local passed_us = math.max(0, now_us - (tonumber(held[2]) or now_us))
tokens = math.min(size, tokens + passed_us * per_s / 1000000)
local given, wait_ms = 0, 0
if tokens >= needed then
    given = math.min(wanted, math.floor(tokens))
else
    wait_ms = math.ceil((needed - tokens) * 1000 / per_s)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - given), 'at_us', string.format('%.0f', now_us))
redis.call('PEXPIRE', KEYS[1], math.ceil(size * 1000 / per_s) + 1000)
return {given, math.floor(tokens - given), wait_ms}

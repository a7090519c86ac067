-- KEYS[1]: a counter; ARGV[1]: its cap. 1 when one more fits.
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
if used >= tonumber(ARGV[1]) then return 0 end
redis.call('INCR', KEYS[1])
return 1

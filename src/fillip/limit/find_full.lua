-- KEYS: counters of one tenant; ARGV: amount and cap of each. Returns the 1-based indexes of those without room.
local full = {}
for i, key in ipairs(KEYS) do
    local used = tonumber(redis.call('HGET', key, 'used'))
    if used and used + tonumber(ARGV[2 * i - 1]) > tonumber(ARGV[2 * i]) then
        full[#full + 1] = i
    end
end
return full

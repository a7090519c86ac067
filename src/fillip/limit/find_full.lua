-- Finds the counters that have no room for an amount, and keeps those longer in Valkey.
-- KEYS: counters of one tenant; ARGV: amount and cap of each, and how many seconds more it lives when it is full (0: no
-- longer than it would). Returns the 1-based indexes of those without room.
local full = {}
for i, key in ipairs(KEYS) do
    local counter = redis.pcall('GET', key)
    local used = type(counter) == 'string' and tonumber(string.match(counter, '^%d+'))
    if used and used + tonumber(ARGV[3 * i - 2]) > tonumber(ARGV[3 * i - 1]) then
        full[#full + 1] = i
        if ARGV[3 * i] ~= '0' then
            redis.pcall('EXPIRE', key, ARGV[3 * i])
        end
    end
end
return full

-- Counters of one tenant move forward to what the WAL says: absolute values, by version, never an increment.
-- KEYS: the tenant's epoch key, the HyperLogLog of its counters used today, then the counters.
-- ARGV: seconds that an idle counter lives, how many may be used a day; then of each counter used, version, and 1 for one
-- that is kept whatever the number. Beyond the number no counter comes to be, and none lives longer for having moved.
-- Returns the tenant's epoch ('' tells that the projection was lost), how many counters were left out for the number, how
-- many because Valkey would not take them, and its error. Those are removed: an old state must not stay.
local idle, open = ARGV[1], redis.call('PFCOUNT', KEYS[2]) < tonumber(ARGV[2])
local over, refused, failure = 0, 0, ''

local function try(...)
    local reply = redis.pcall(...)
    if type(reply) == 'table' and reply.err then
        failure = reply.err
    end
end

if open then -- the first write: without room it fails, and no other is tried
    try('PFADD', KEYS[2], unpack(KEYS, 3))
    if failure == '' then
        redis.call('EXPIRE', KEYS[2], 86400)
    end
end
for i = 3, #KEYS do
    local at = 3 * (i - 2)
    local used, version, plain = ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1'
    if failure == '' then
        local seen = redis.pcall('GET', KEYS[i])
        if type(seen) == 'table' then -- of another kind: not ours
            redis.call('UNLINK', KEYS[i])
            seen = false
        end
        local known = seen and tonumber(string.match(seen, ' (%d+)$'))
        if not known or known < tonumber(version) then
            if open or plain then
                try('SET', KEYS[i], used .. ' ' .. version, 'EX', idle)
            elseif seen then
                try('SET', KEYS[i], used .. ' ' .. version, 'KEEPTTL')
            else
                over = over + 1
            end
        end
    end
    if failure ~= '' then
        redis.pcall('UNLINK', KEYS[i])
        refused = refused + 1
    end
end
return { redis.call('GET', KEYS[1]) or '', over, refused, failure }

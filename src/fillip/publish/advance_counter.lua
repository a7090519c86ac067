-- Counters of one tenant move forward to what the WAL says: absolute values, by version, never an increment.
-- KEYS: the tenant's epoch key, then the counters. ARGV: used and version of each counter, in the order of KEYS.
-- Returns the tenant's epoch; nil tells that the projection was lost.
for i = 2, #KEYS do
    local used, version = ARGV[2 * i - 3], ARGV[2 * i - 2]
    local seen = redis.call('HGET', KEYS[i], 'version')
    if not seen or tonumber(seen) < tonumber(version) then
        redis.call('HSET', KEYS[i], 'used', used, 'version', version)
    end
end
return redis.call('GET', KEYS[1])

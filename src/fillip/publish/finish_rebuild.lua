-- Ends the rebuild of a tenant's counters, unless they were lost again meanwhile.
-- KEYS: the tenant's epoch key. ARGV: the mark that this rebuild began with, the epoch.
-- Returns 1, or 0 when the mark is gone: the projection was lost again meanwhile.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1

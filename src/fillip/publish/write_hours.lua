-- Writes what campaigns of one tenant decided hour by hour: absolute values, of one writer; locks nothing.
-- KEYS: a hash for each campaign. ARGV: seconds that they live; then for each campaign 1 when it is written whole and 0 when
-- only hours that moved, the number of hours, and of each the hour and its sums.
-- Returns what Valkey says against it ('': nothing), and the indexes (from 1) of those that have to be written whole: a hash
-- that was thrown away, or could not be written. Such a one is removed: part of the hours must not pass for all.
local failure, whole, at = '', {}, 2
for i, key in ipairs(KEYS) do
    local is_whole, count = ARGV[at] == '1', tonumber(ARGV[at + 1])
    if not is_whole and redis.call('EXISTS', key) == 0 then
        whole[#whole + 1] = i
    else
        if is_whole then
            redis.call('UNLINK', key)
        end
        local reply = redis.pcall('HSET', key, unpack(ARGV, at + 2, at + 1 + 2 * count))
        if type(reply) == 'table' and reply.err then
            failure = reply.err
            redis.call('UNLINK', key)
            whole[#whole + 1] = i
        else
            redis.call('EXPIRE', key, ARGV[1])
        end
    end
    at = at + 2 + 2 * count
end
return { failure, whole }

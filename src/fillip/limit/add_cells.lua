-- Adds to cells of the sketch of a window, in one BITFIELD call for each 1,500 of them; locks nothing.
-- KEYS: the sketch. ARGV: how many cells it has, seconds that it lives, and which cells get how much: two little-endian
-- 32-bit numbers for each. Returns what each of these cells holds then, in their order; a full one stays full.
local cells, packed = tonumber(ARGV[1]), ARGV[3]
if redis.call('STRLEN', KEYS[1]) ~= 4 * cells then -- made whole: a string that BITFIELD makes longer gets twice the memory
    redis.call('SET', KEYS[1], string.rep('\0', 4 * cells), 'EX', ARGV[2])
end
local held, adding = {}, {}

local function add()
    for _, value in ipairs(redis.call('BITFIELD', KEYS[1], 'OVERFLOW', 'SAT', unpack(adding))) do
        held[#held + 1] = value
    end
    adding = {}
end

for at = 1, #packed, 8 do
    local i, cell, amount = #adding, struct.unpack('<I4I4', packed, at)
    adding[i + 1], adding[i + 2], adding[i + 3], adding[i + 4] = 'INCRBY', 'u32', 32 * cell, amount
    if i + 4 == 6000 then -- Lua hands on fewer than 8,000 arguments
        add()
    end
end
if #adding > 0 then
    add()
end
return held

-- Numbers the users of one portion ($2 up to, without, $3) from $4 on, and finds those who have got one meanwhile, unless
-- nobody has ($5). The tenant's count is locked before. Locks nothing else: nobody reads a number before it is stored.
WITH portion AS (
    SELECT user_id FROM staged_new WHERE place >= $2 AND place < $3
), known AS (
    SELECT p.user_id, n.number FROM portion p JOIN user_number n ON n.tenant_id = $1 AND n.user_id = p.user_id WHERE NOT $5
), given AS (
    INSERT INTO user_number (tenant_id, user_id, number)
    SELECT $1, user_id, $4::bigint + row_number() OVER (ORDER BY user_id) - 1
    FROM portion WHERE NOT EXISTS (SELECT FROM known WHERE known.user_id = portion.user_id)
    RETURNING 1
), counted AS (
    UPDATE user_numbering SET numbered = numbered + (SELECT count(*) FROM given) WHERE tenant_id = $1
)
SELECT (SELECT count(*)::int FROM given) AS given, (SELECT array_agg(number) FROM known) AS known

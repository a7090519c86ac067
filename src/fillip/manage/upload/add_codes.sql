-- Some of the staged codes into a pool; how many were new. $1 tenant, $2 pool, $3 up to, without, $4.
WITH added AS (
    INSERT INTO coupon (tenant_id, code, pool_id)
    SELECT $1, code, $2 FROM staged_part WHERE number >= $3 AND number < $4 ORDER BY number
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*)::int FROM added

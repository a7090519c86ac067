-- Three statements, told apart by blank lines: stage, add, find what is in another pool. $1 tenant, $2 pool.
CREATE TEMP TABLE staged_code (code text COLLATE "C" NOT NULL) ON COMMIT DROP;
SET LOCAL statement_timeout = '600s'

WITH added AS (
    INSERT INTO coupon (tenant_id, code, pool_id)
    SELECT DISTINCT $1, s.code, $2 FROM staged_code s ORDER BY 2
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM added

SELECT c.code, c.pool_id FROM staged_code s JOIN coupon c ON c.tenant_id = $1 AND c.code = s.code
WHERE c.pool_id <> $2 LIMIT 1

-- Some of the staged codes into a pool; how many were new. $1 tenant, $2 pool, $3 up to, without, $4; $5: whether the pool is case-sensitive.
-- One that would be taken for another pool's is left out: the adding of codes is held, so none comes meanwhile.
-- Looked up code by code: as a join it might be planned as a walk over all codes.
WITH added AS (
    INSERT INTO coupon (tenant_id, code, pool_id, case_sensitive)
    SELECT $1, s.code, $2, $5 FROM staged_part s
    WHERE s.number >= $3 AND s.number < $4
      AND (SELECT true FROM coupon c WHERE NOT $5 AND c.case_sensitive AND c.tenant_id = $1 AND c.folded = s.folded LIMIT 1) IS NULL
      AND (SELECT true FROM coupon c WHERE $5 AND NOT c.case_sensitive AND c.tenant_id = $1 AND c.folded = s.folded LIMIT 1) IS NULL
    ORDER BY s.number
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*)::int FROM added

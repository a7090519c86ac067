-- Adds codes to a generation, which is locked as the adding of codes is. A code that is there already, or would be taken for one of another
-- pool, is left out; the next portion makes up for it. $5: whether the pool is case-sensitive.
WITH made AS MATERIALIZED (
    SELECT code, lower(code) AS folded FROM unnest($4::text[]) AS c (code)
), added AS (
    INSERT INTO coupon (tenant_id, code, pool_id, case_sensitive)
    SELECT $1, m.code, $3, $5 FROM made m
    WHERE (SELECT true FROM coupon c WHERE NOT $5 AND c.case_sensitive AND c.tenant_id = $1 AND c.folded = m.folded LIMIT 1) IS NULL
      AND (SELECT true FROM coupon c WHERE $5 AND NOT c.case_sensitive AND c.tenant_id = $1 AND c.folded = m.folded LIMIT 1) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING 1
), counted AS (
    SELECT count(*)::int AS number FROM added
)
UPDATE coupon_generation g
SET made = g.made + c.number, finished_at = CASE WHEN g.made + c.number = g.wanted THEN clock_timestamp() END
FROM counted c
WHERE g.tenant_id = $1 AND g.generation_id = $2

-- Adds codes to a generation, which is locked. A code that is there already is left out; the next portion makes up for it.
WITH added AS (
    INSERT INTO coupon (tenant_id, code, pool_id) SELECT $1, code, $3 FROM unnest($4::text[]) AS c (code)
    ON CONFLICT DO NOTHING
    RETURNING 1
), counted AS (
    SELECT count(*)::int AS number FROM added
)
UPDATE coupon_generation g
SET made = g.made + c.number, finished_at = CASE WHEN g.made + c.number = g.wanted THEN clock_timestamp() END
FROM counted c
WHERE g.tenant_id = $1 AND g.generation_id = $2

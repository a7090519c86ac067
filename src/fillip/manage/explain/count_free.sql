-- How many free codes of each pool there are, counted up to as many as are wanted. Locks nothing: another may take them.
SELECT asked.pool_id, (
    SELECT count(*) FROM (
        SELECT FROM coupon c
        WHERE c.tenant_id = $1 AND c.pool_id = asked.pool_id AND c.incentive_id IS NULL
        LIMIT asked.wanted
    ) AS free
) AS free
FROM unnest($2::text[], $3::int[]) AS asked (pool_id, wanted)

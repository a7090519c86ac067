-- What a generation still lacks. Locks it, unless another sweep holds it or it is done: then there is no row.
SELECT g.pool_id, g.pattern, g.wanted - g.made AS missing, p.case_sensitive
FROM coupon_generation g JOIN coupon_pool p USING (tenant_id, pool_id)
WHERE g.tenant_id = $1 AND g.generation_id = $2 AND g.finished_at IS NULL
FOR UPDATE OF g SKIP LOCKED

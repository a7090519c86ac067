-- What a generation still lacks. Locks it, unless another sweep holds it or it is done: then there is no row.
SELECT pool_id, pattern, wanted - made AS missing FROM coupon_generation
WHERE tenant_id = $1 AND generation_id = $2 AND finished_at IS NULL
FOR UPDATE SKIP LOCKED

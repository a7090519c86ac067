SELECT pool_id, pattern, wanted - made AS missing FROM coupon_generation
WHERE tenant_id = $1 AND generation_id = $2 AND finished_at IS NULL
FOR UPDATE SKIP LOCKED

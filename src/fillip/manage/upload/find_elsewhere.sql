-- A staged code that is in another pool than $2.
SELECT c.code, c.pool_id FROM staged_part s JOIN coupon c ON c.tenant_id = $1 AND c.code = s.code
WHERE c.pool_id <> $2 LIMIT 1

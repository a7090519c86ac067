-- A staged code (`line`) that is taken for one of another pool than $2 of tenant $1; $3: whether that pool is case-sensitive. Locks nothing.
SELECT c.code, c.pool_id, s.code AS line FROM staged_part s JOIN coupon c ON c.tenant_id = $1 AND c.folded = s.folded
WHERE NOT c.case_sensitive AND c.pool_id <> $2
UNION ALL
SELECT c.code, c.pool_id, s.code AS line FROM staged_part s JOIN coupon c ON c.tenant_id = $1 AND c.folded = s.folded
WHERE c.case_sensitive AND c.pool_id <> $2 AND (NOT $3 OR c.code = s.code)
LIMIT 1

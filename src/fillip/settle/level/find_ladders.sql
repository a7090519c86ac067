-- Locks nothing. Ladders whose users are to be seen to, tenant by tenant behind $1, at most $2; without those that are set aside ($3, $4). As
-- fillip_sweep, which sees all tenants.
SELECT l.tenant_id, l.currency FROM ladder l
WHERE (l.leaving OR l.filled_to IS NOT NULL OR l.followed_to IS NOT NULL) AND l.tenant_id > $1
  AND (l.tenant_id, l.currency) NOT IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY l.tenant_id LIMIT $2

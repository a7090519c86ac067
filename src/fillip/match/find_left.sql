-- The oldest content of a cohort that nothing will ever use. Locks nothing.
-- As fillip_sweep, which sees all tenants. An upload takes minutes at most: one of an hour ago has come to nothing.
SELECT tenant_id, content_id FROM cohort_content
WHERE NOT is_in_force AND (is_left OR made_at < $1::timestamptz - interval '1 hour')
ORDER BY made_at LIMIT 1

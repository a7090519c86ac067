-- How far the changes of these tenants' users have come, how many were erased, and since when this server runs. Locks nothing.
SELECT asked.tenant_id, coalesce(h.last_number, 0) AS last_number, coalesce(h.erased, 0) AS erased, pg_postmaster_start_time() AS server
FROM unnest($1::text[]) AS asked (tenant_id)
LEFT JOIN user_change_head h USING (tenant_id)

-- The reversals that wait for these originals. Locks nothing: the originals are locked.
SELECT r.tenant_id, r.event_id, r.reversal_id, r.user_id, r.request::text AS request, r.occurred_at, r.received_at
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, event_id)
JOIN reversal r USING (tenant_id, event_id)
WHERE r.state = 'waiting'
ORDER BY r.tenant_id, r.event_id, r.number

-- What events that were recorded before said. Locks nothing.
SELECT m.tenant_id, m.event_key, m.fingerprint
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
JOIN event_met m USING (tenant_id, event_key)

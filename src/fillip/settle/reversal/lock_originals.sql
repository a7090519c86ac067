SELECT m.tenant_id, m.event_id, m.user_id, m.action
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, event_id)
JOIN event_met m USING (tenant_id, event_id)
WHERE m.fingerprint IS NOT NULL
ORDER BY m.tenant_id, m.event_id
FOR UPDATE OF m

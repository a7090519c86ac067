-- Locks these events, sorted; also those that have not come: whoever fills one of them finds the reversals of this batch.
SELECT m.tenant_id, m.event_id, m.user_id, m.action, m.fingerprint IS NOT NULL AS come
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, event_id)
JOIN event_met m USING (tenant_id, event_id)
ORDER BY m.tenant_id, m.event_id
FOR UPDATE OF m

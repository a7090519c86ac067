SELECT m.tenant_id, m.event_id, m.fingerprint
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, event_id)
JOIN event_met m USING (tenant_id, event_id)

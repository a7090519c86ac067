-- Locks these events, named in sorted order; what each said. Whoever held one has committed when this is answered, and what that one wrote
-- is seen by the next statement only: what else is asked of an event stands there.
SELECT m.event_key, m.fingerprint
FROM unnest($2::uuid[]) AS asked (event_key)
CROSS JOIN LATERAL (
    SELECT * FROM event_met e WHERE e.tenant_id = $1 AND e.event_key = asked.event_key
    FOR UPDATE
) m

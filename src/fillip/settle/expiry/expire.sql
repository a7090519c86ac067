-- Locks and expires incentives that are due. Those that somebody claims or takes back at this moment are left to him, and looked at again next time.
WITH due AS (
    SELECT i.tenant_id, i.incentive_id
    FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, incentive_id)
    JOIN incentive i USING (tenant_id, incentive_id)
    WHERE i.state = 'granted' AND i.expires_at <= $3
    ORDER BY i.tenant_id, i.incentive_id
    FOR UPDATE OF i SKIP LOCKED
)
UPDATE incentive i SET state = 'expired' FROM due
WHERE i.tenant_id = due.tenant_id AND i.incentive_id = due.incentive_id
RETURNING i.tenant_id, i.incentive_id, i.value - i.reversed_value AS left_over

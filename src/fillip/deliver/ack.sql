-- Marks a user's entries in (after, through] as taken in, each with what its incentive is of. Locks those that were not yet.
UPDATE inbox b
SET acked_at = clock_timestamp(),
    (campaign_id, granted_at) = (SELECT i.campaign_id, i.granted_at FROM incentive i
                                 WHERE i.tenant_id = b.tenant_id AND i.incentive_id = b.incentive_id)
WHERE tenant_id = $1 AND user_id = $2 AND seq > $3 AND seq <= $4 AND acked_at IS NULL

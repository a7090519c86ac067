-- The badges on shelves that these incentives put there; they stay so while the inboxes of their users are locked.
SELECT b.incentive_id, b.tenant_id, b.user_id, b.badge_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS asked (tenant_id, user_id, incentive_id)
CROSS JOIN LATERAL (
    SELECT * FROM badge_held h
    WHERE h.tenant_id = asked.tenant_id AND h.user_id = asked.user_id AND h.incentive_id = asked.incentive_id
    OFFSET 0
) b

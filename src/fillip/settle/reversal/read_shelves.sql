-- The badges on shelves that these incentives put there; they stay so while the inboxes of their users are locked.
SELECT b.incentive_id, b.tenant_id, b.user_id, b.badge_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS asked (tenant_id, user_id, incentive_id)
JOIN badge_held b USING (tenant_id, user_id, incentive_id)

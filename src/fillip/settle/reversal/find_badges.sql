-- The badges on the shelves of users, and of the ids that were merged into them, that these incentives put there, and what else put the same badges
-- there; they stay so while the inboxes of these users are locked.
SELECT DISTINCT same.incentive_id, asked.tenant_id, asked.user_id, same.badge_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS asked (tenant_id, user_id, incentive_id)
CROSS JOIN LATERAL (
    SELECT asked.user_id || ARRAY(
        SELECT u.user_id FROM user_merge u WHERE u.tenant_id = asked.tenant_id AND u.merged_into = asked.user_id) AS ids
) one
CROSS JOIN LATERAL (
    SELECT * FROM badge_held h
    WHERE h.tenant_id = asked.tenant_id AND h.user_id = ANY (one.ids) AND h.incentive_id = asked.incentive_id
    OFFSET 0
) mine
CROSS JOIN LATERAL (
    SELECT * FROM badge_held s
    WHERE s.tenant_id = asked.tenant_id AND s.user_id = ANY (one.ids) AND s.badge_id = mine.badge_id
    OFFSET 0
) same

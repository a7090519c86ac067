-- The numbers of these users, of those that have one. Locks nothing.
-- LIMIT, so that each is looked up by the key whatever the planner believes of a table that grows fast.
SELECT asked.user_id, found.number
FROM unnest(CAST(:users AS text[])) AS asked (user_id) CROSS JOIN LATERAL (
    SELECT n.number FROM user_number n WHERE n.tenant_id = :tenant_id AND n.user_id = asked.user_id LIMIT 1
) found

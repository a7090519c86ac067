-- Which of these incentives were taken back in whole. Locks nothing.
SELECT i.incentive_id
FROM unnest($2::uuid[]) AS asked (incentive_id)
CROSS JOIN LATERAL (
    SELECT * FROM incentive h WHERE h.tenant_id = $1 AND h.incentive_id = asked.incentive_id
    OFFSET 0
) i
WHERE i.state = 'reversed'

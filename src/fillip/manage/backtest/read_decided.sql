-- What a campaign has decided on these events. Locks nothing. One look into the index for each event: a join might be planned as a walk.
SELECT d.event_key, d.instance, d.outcome, d.reason, d.reward_values::text AS reward_values, d.limits::text AS limits
FROM unnest($3::uuid[]) AS asked (event_key)
CROSS JOIN LATERAL (
    SELECT * FROM decision e
    WHERE e.tenant_id = $1 AND e.event_key = asked.event_key AND e.campaign_id = $2
    OFFSET 0
) d
ORDER BY d.event_key, d.instance

-- What other campaigns were granted for these events: the value by campaign. Locks nothing: the events are locked.
SELECT d.event_key, d.campaign_id,
       sum((SELECT coalesce(sum((v ->> 'value')::bigint), 0) FROM jsonb_array_elements(d.reward_values) AS v))::bigint AS value
FROM unnest($3::uuid[]) AS asked (event_key)
CROSS JOIN LATERAL (
    SELECT * FROM decision o
    WHERE o.tenant_id = $1 AND o.event_key = asked.event_key AND o.outcome = 'granted' AND o.campaign_id <> $2
    OFFSET 0
) d
GROUP BY d.event_key, d.campaign_id

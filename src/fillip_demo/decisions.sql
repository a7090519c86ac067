-- Each outcome of each campaign, with the value granted (minor units, or points).
SELECT campaign_id, outcome, reason, count(*) AS decisions,
       coalesce(sum((SELECT sum((reward ->> 'value')::bigint) FROM jsonb_array_elements(reward_values) AS reward))
                FILTER (WHERE outcome = 'granted'), 0)::bigint AS value
FROM decision WHERE tenant_id = $1
GROUP BY campaign_id, outcome, reason ORDER BY campaign_id, outcome, reason

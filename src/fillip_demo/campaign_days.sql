-- What the Analytics Bay reports, straight from the ledger.
SELECT local_day::text AS day, campaign_id,
       count(*) FILTER (WHERE outcome = 'granted') AS granted,
       count(*) FILTER (WHERE outcome = 'denied') AS denied,
       coalesce(sum((SELECT sum((reward ->> 'value')::bigint) FROM jsonb_array_elements(reward_values) AS reward))
                FILTER (WHERE outcome = 'granted'), 0)::bigint AS value,
       count(DISTINCT user_id) FILTER (WHERE outcome = 'granted') AS unique_users
FROM decision WHERE tenant_id = $1
GROUP BY local_day, campaign_id ORDER BY local_day, campaign_id

-- What a campaign gave on some days, by variant, kind and currency, and what of that was taken back.
WITH picked AS (
    SELECT * FROM decision_fact
    WHERE tenant_id = $tenant_id AND campaign_id = $campaign_id AND local_day BETWEEN $first AND $last AND outcome = 'granted'
), sums AS (
    SELECT variant, reward.kind AS kind, reward.currency AS currency, count(*) AS count,
           least(sum(reward.value), 9223372036854775807)::bigint AS value
    FROM (SELECT variant, unnest(rewards) AS reward FROM picked) GROUP BY ALL
), taken AS (
    SELECT variant, kind, currency, least(sum(r.value), 9223372036854775807)::bigint AS reversed
    FROM reversal_fact r JOIN picked USING (tenant_id, decision_id) GROUP BY ALL
)
SELECT s.variant, s.kind, s.currency, s.count, s.value, coalesce(t.reversed, 0)
FROM sums s LEFT JOIN taken t ON t.variant IS NOT DISTINCT FROM s.variant AND t.kind = s.kind
                             AND t.currency IS NOT DISTINCT FROM s.currency
ORDER BY s.kind, s.currency

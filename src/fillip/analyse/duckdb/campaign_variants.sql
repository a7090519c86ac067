-- Decisions and grants of one campaign by variant, over some days.
WITH picked AS (
    SELECT * FROM decision_fact
    WHERE tenant_id = $tenant_id AND campaign_id = $campaign_id AND local_day BETWEEN $first AND $last AND variant IS NOT NULL
      AND NOT coalesce(shadow, false)
), lines AS (
    SELECT variant, count(DISTINCT user_id) AS users,
           count(*) FILTER (WHERE outcome = 'granted') AS granted,
           coalesce(sum(len(rewards)) FILTER (WHERE outcome = 'granted'), 0)::bigint AS issued,
           histogram(reason) FILTER (WHERE outcome = 'denied') AS denied,
           count(DISTINCT user_id) FILTER (WHERE outcome = 'granted') AS unique_users
    FROM picked GROUP BY variant
), given AS (
    SELECT variant, unnest(rewards) AS reward FROM picked WHERE outcome = 'granted'
), sums AS (
    SELECT variant, reward.kind AS kind, reward.currency AS currency, count(*) AS count,
           least(sum(reward.value), 9223372036854775807)::bigint AS value
    FROM given GROUP BY ALL
), taken AS (
    SELECT variant, kind, currency, least(sum(r.value), 9223372036854775807)::bigint AS reversed
    FROM reversal_fact r JOIN picked USING (tenant_id, decision_id) GROUP BY ALL
), spent AS (
    SELECT s.variant, list(struct_pack(kind := s.kind, currency := s.currency, count := s.count, value := s.value,
                                       reversed := coalesce(t.reversed, 0)) ORDER BY s.kind, s.currency) AS spend
    FROM sums s LEFT JOIN taken t ON t.variant = s.variant AND t.kind = s.kind AND t.currency IS NOT DISTINCT FROM s.currency
    GROUP BY s.variant
)
SELECT variant, users, granted, issued, denied, spend, unique_users FROM lines LEFT JOIN spent USING (variant) ORDER BY variant

-- Decisions and grants by day and campaign, a page of them.
WITH picked AS (
    SELECT * FROM decision_fact
    WHERE tenant_id = $tenant_id AND local_day BETWEEN $first AND $last
      AND ($campaign_id::varchar IS NULL OR campaign_id = $campaign_id)
      AND (local_day > $after_day OR (local_day = $after_day AND campaign_id > $after_name))
), lines AS (
    SELECT local_day, campaign_id,
           count(*) FILTER (WHERE outcome = 'granted') AS granted,
           coalesce(sum(len(rewards)) FILTER (WHERE outcome = 'granted'), 0)::bigint AS issued,
           histogram(reason) FILTER (WHERE outcome = 'denied') AS denied,
           count(DISTINCT user_id) FILTER (WHERE outcome = 'granted') AS unique_users
    FROM picked GROUP BY ALL ORDER BY local_day, campaign_id LIMIT $count
), would AS (
    SELECT local_day, campaign_id,
           list(struct_pack(kind := kind, currency := currency, count := count, value := value, reversed := 0)
                ORDER BY kind, currency) AS shadow_spend
    FROM (
        SELECT local_day, campaign_id, reward.kind AS kind, reward.currency AS currency, count(*) AS count,
               least(sum(reward.value), 9223372036854775807)::bigint AS value
        FROM (SELECT local_day, campaign_id, unnest(rewards) AS reward FROM picked SEMI JOIN lines USING (local_day, campaign_id)
              WHERE reason = 'shadow')
        GROUP BY ALL
    ) GROUP BY local_day, campaign_id
), given AS (
    SELECT local_day, campaign_id, unnest(rewards) AS reward FROM picked SEMI JOIN lines USING (local_day, campaign_id)
    WHERE outcome = 'granted'
), sums AS (
    SELECT local_day, campaign_id, reward.kind AS kind, reward.currency AS currency, count(*) AS count,
           least(sum(reward.value), 9223372036854775807)::bigint AS value
    FROM given GROUP BY ALL
), taken AS (
    SELECT local_day, campaign_id, kind, currency, least(sum(r.value), 9223372036854775807)::bigint AS reversed
    FROM reversal_fact r JOIN (SELECT * FROM picked SEMI JOIN lines USING (local_day, campaign_id)) USING (tenant_id, decision_id)
    GROUP BY ALL
), spent AS (
    SELECT s.local_day, s.campaign_id,
           list(struct_pack(kind := s.kind, currency := s.currency, count := s.count, value := s.value,
                            reversed := coalesce(t.reversed, 0)) ORDER BY s.kind, s.currency) AS spend
    FROM sums s LEFT JOIN taken t ON t.local_day = s.local_day AND t.campaign_id = s.campaign_id AND t.kind = s.kind
                                 AND t.currency IS NOT DISTINCT FROM s.currency
    GROUP BY s.local_day, s.campaign_id
)
SELECT local_day, campaign_id, granted, issued, denied, spend, unique_users, shadow_spend
FROM lines LEFT JOIN spent USING (local_day, campaign_id) LEFT JOIN would USING (local_day, campaign_id) ORDER BY local_day, campaign_id

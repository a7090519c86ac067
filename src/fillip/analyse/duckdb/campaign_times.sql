-- How long each part of the way of incentives took, by the UTC day of the grant and campaign, a page of them.
WITH lines AS MATERIALIZED (
    SELECT DISTINCT day, campaign_id FROM grant_fact
    WHERE tenant_id = $tenant_id AND day BETWEEN $first AND $last
      AND ($campaign_id::varchar IS NULL OR campaign_id = $campaign_id)
      AND (day > $after_day OR (day = $after_day AND campaign_id > $after_name))
    ORDER BY day, campaign_id LIMIT $count
), span AS MATERIALIZED (
    SELECT min(day)::timestamp AT TIME ZONE 'UTC' AS begin, (max(day) + 1)::timestamp AT TIME ZONE 'UTC' AS until FROM lines
), picked AS MATERIALIZED (
    SELECT day, campaign_id, incentive_id, epoch_us(occurred_at) AS happened, epoch_us(received_at) AS received,
           epoch_us(granted_at) AS granted, epoch_us(committed_at) AS committed, claimed_at
    FROM grant_fact SEMI JOIN lines USING (day, campaign_id)
    WHERE tenant_id = $tenant_id AND day BETWEEN (SELECT min(day) FROM lines) AND (SELECT max(day) FROM lines)
), acks AS (
    SELECT incentive_id, acked_at FROM ack_fact
    WHERE tenant_id = $tenant_id AND ($campaign_id::varchar IS NULL OR campaign_id = $campaign_id)
      AND granted_at >= (SELECT begin FROM span) AND granted_at < (SELECT until FROM span)
    UNION ALL
    SELECT incentive_id, acked_at FROM ack_fact SEMI JOIN picked USING (incentive_id)  -- those of before
    WHERE tenant_id = $tenant_id AND granted_at IS NULL AND acked_at >= (SELECT begin FROM span) - INTERVAL 1 DAY  -- clocks may differ
), claims AS (
    SELECT incentive_id, claimed_at FROM claim_fact
    WHERE tenant_id = $tenant_id AND ($campaign_id::varchar IS NULL OR campaign_id = $campaign_id)
      AND granted_at >= (SELECT begin FROM span) AND granted_at < (SELECT until FROM span)
    UNION ALL
    SELECT incentive_id, claimed_at FROM claim_fact SEMI JOIN picked USING (incentive_id)  -- those of before
    WHERE tenant_id = $tenant_id AND granted_at IS NULL AND claimed_at >= (SELECT begin FROM span) - INTERVAL 1 DAY  -- clocks may differ
), ways AS (
    SELECT p.*, epoch_us(a.acked_at) AS delivered, epoch_us(coalesce(p.claimed_at, c.claimed_at)) AS claimed
    FROM picked p
    LEFT JOIN acks a USING (incentive_id) LEFT JOIN claims c USING (incentive_id)
)
SELECT day, campaign_id, count(*) AS count,
       count(received - happened), quantile_cont((received - happened) / 1e6, [0.5, 0.9, 0.99]),
       count(granted - received), quantile_cont((granted - received) / 1e6, [0.5, 0.9, 0.99]),
       count(committed), quantile_cont((committed - granted) / 1e6, [0.5, 0.9, 0.99]),
       count(delivered), quantile_cont((delivered - granted) / 1e6, [0.5, 0.9, 0.99]),
       count(claimed), quantile_cont((claimed - granted) / 1e6, [0.5, 0.9, 0.99]),
       count(*) FILTER (WHERE claimed >= delivered),
       quantile_cont((claimed - delivered) / 1e6, [0.5, 0.9, 0.99]) FILTER (WHERE claimed >= delivered)
FROM ways GROUP BY day, campaign_id ORDER BY day, campaign_id

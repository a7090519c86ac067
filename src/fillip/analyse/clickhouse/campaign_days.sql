-- Decisions and grants by day and campaign, a page of them.
WITH picked AS (
    SELECT day, campaign_id, decision_id, outcome, reason, user_id, rewards FROM fact
    WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_decision:Array(UInt64)}[partition + 1] AND day BETWEEN {first:Int32} AND {last:Int32}
      AND ({campaign_id:Nullable(String)} IS NULL OR campaign_id = {campaign_id:Nullable(String)})
      AND (day, campaign_id) > ({after_day:Int32}, {after_name:String})
), lines AS (
    SELECT day, campaign_id, countIf(outcome = 'granted') AS granted, sumIf(length(rewards), outcome = 'granted') AS issued,
           sumMapIf(map(reason, toUInt64(1)), outcome = 'denied') AS denied, uniqExactIf(user_id, outcome = 'granted') AS unique_users
    FROM picked GROUP BY day, campaign_id ORDER BY day, campaign_id LIMIT {count:UInt32}
), of_lines AS (
    SELECT * FROM picked WHERE (day, campaign_id) IN (SELECT day, campaign_id FROM lines)
), would AS (
    SELECT day, campaign_id,
           arraySort(s -> (s.1, isNull(s.2), ifNull(s.2, '')), groupArray((kind, unit, count, total, toUInt8(0)))) AS shadow_spend
    FROM (
        SELECT day, campaign_id, reward.kind AS kind, reward.currency AS unit, count() AS count,
               least(sum(toInt128(reward.value)), toInt128(9223372036854775807)) AS total
        FROM (SELECT day, campaign_id, arrayJoin(rewards) AS reward FROM of_lines WHERE reason = 'shadow')
        GROUP BY day, campaign_id, kind, unit
    )
    GROUP BY day, campaign_id
), changes AS (
    SELECT day, campaign_id, arrayJoin(rewards) AS reward, 1 AS given, reward.value AS value, 0 AS reversed
    FROM of_lines WHERE outcome = 'granted'
    UNION ALL
    SELECT d.day, d.campaign_id, r.taken, 0, 0, r.taken.value FROM of_lines AS d JOIN (
        SELECT decision_id, arrayJoin(rewards) AS taken FROM fact
        WHERE kind = 'reversal' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
          AND load >= {since_reversal:Array(UInt64)}[partition + 1]
    ) AS r ON r.decision_id = d.decision_id
), sums AS (
    SELECT day, campaign_id, reward.kind AS kind, reward.currency AS unit, sum(given) AS count,
           least(sum(toInt128(value)), toInt128(9223372036854775807)) AS total,
           least(sum(toInt128(reversed)), toInt128(9223372036854775807)) AS back
    FROM changes GROUP BY day, campaign_id, kind, unit HAVING count > 0
), spent AS (
    SELECT day, campaign_id,
           arraySort(s -> (s.1, isNull(s.2), ifNull(s.2, '')), groupArray((kind, unit, count, total, back))) AS spend
    FROM sums GROUP BY day, campaign_id
)
SELECT l.day, l.campaign_id, l.granted, l.issued, l.denied, s.spend, l.unique_users, w.shadow_spend
FROM lines AS l LEFT JOIN spent AS s ON s.day = l.day AND s.campaign_id = l.campaign_id
  LEFT JOIN would AS w ON w.day = l.day AND w.campaign_id = l.campaign_id ORDER BY l.day, l.campaign_id

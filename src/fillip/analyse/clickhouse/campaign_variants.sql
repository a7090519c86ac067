-- Decisions and grants of one campaign by variant, over some days.
WITH picked AS (
    SELECT assumeNotNull(variant) AS variant, decision_id, outcome, reason, user_id, rewards FROM fact
    WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_decision:Array(UInt64)}[partition + 1] AND day BETWEEN {first:Int32} AND {last:Int32}
      AND campaign_id = {campaign_id:String} AND fact.variant IS NOT NULL AND NOT shadow
), lines AS (
    SELECT variant, uniqExact(user_id) AS users, countIf(outcome = 'granted') AS granted,
           sumIf(length(rewards), outcome = 'granted') AS issued,
           sumMapIf(map(reason, toUInt64(1)), outcome = 'denied') AS denied, uniqExactIf(user_id, outcome = 'granted') AS unique_users
    FROM picked GROUP BY variant
), changes AS (
    SELECT variant, arrayJoin(rewards) AS reward, 1 AS given, reward.value AS value, 0 AS reversed
    FROM picked WHERE outcome = 'granted'
    UNION ALL
    SELECT d.variant, r.taken, 0, 0, r.taken.value FROM picked AS d JOIN (
        SELECT decision_id, arrayJoin(rewards) AS taken FROM fact
        WHERE kind = 'reversal' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
          AND load >= {since_reversal:Array(UInt64)}[partition + 1]
    ) AS r ON r.decision_id = d.decision_id
), sums AS (
    SELECT variant, reward.kind AS kind, reward.currency AS unit, sum(given) AS count,
           least(sum(toInt128(value)), toInt128(9223372036854775807)) AS total,
           least(sum(toInt128(reversed)), toInt128(9223372036854775807)) AS back
    FROM changes GROUP BY variant, kind, unit HAVING count > 0
), spent AS (
    SELECT variant, arraySort(s -> (s.1, isNull(s.2), ifNull(s.2, '')), groupArray((kind, unit, count, total, back))) AS spend
    FROM sums GROUP BY variant
)
SELECT l.variant, l.users, l.granted, l.issued, l.denied, s.spend, l.unique_users
FROM lines AS l LEFT JOIN spent AS s ON s.variant = l.variant ORDER BY l.variant

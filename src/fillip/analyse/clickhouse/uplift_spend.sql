-- What a campaign gave on some days, by variant, kind and currency, and what of that was taken back.
WITH picked AS (
    SELECT variant, decision_id, rewards FROM fact
    WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND campaign_id = {campaign_id:String} AND load <= {newest:UInt64}
      AND load >= {since_decision:Array(UInt64)}[partition + 1] AND day BETWEEN {first:Int32} AND {last:Int32}
      AND outcome = 'granted'
), changes AS (
    SELECT variant, arrayJoin(rewards) AS reward, 1 AS given, reward.value AS value, 0 AS reversed FROM picked
    UNION ALL
    SELECT d.variant, r.taken, 0, 0, r.taken.value FROM picked AS d JOIN (
        SELECT decision_id, arrayJoin(rewards) AS taken FROM fact
        WHERE kind = 'reversal' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
          AND load >= {since_reversal:Array(UInt64)}[partition + 1]
    ) AS r ON r.decision_id = d.decision_id
)
SELECT variant, reward.kind AS kind, reward.currency AS unit, sum(given) AS count,
       least(sum(toInt128(value)), toInt128(9223372036854775807)) AS total,
       least(sum(toInt128(reversed)), toInt128(9223372036854775807)) AS back
FROM changes GROUP BY variant, kind, unit HAVING count > 0 ORDER BY kind, unit

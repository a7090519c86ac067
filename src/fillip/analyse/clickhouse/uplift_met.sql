-- Who met a campaign on some days, when first, and what they were then: held out, of a control, or offered it.
SELECT user_id, reinterpret(met_us, 'DateTime64(6, \'UTC\')') AS met_at, was.1 AS place, was.2 AS variant
FROM (
    SELECT user_id, min(met) AS met_us, argMin((spot, variant), met) AS was
    FROM (
        SELECT user_id, assumeNotNull(occurred_us) AS met, variant,
               if(reason IN ('holdout', 'control'), toString(reason), 'offered') AS spot
        FROM fact
        WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND campaign_id = {campaign_id:String}
          AND load <= {newest:UInt64} AND load >= {since_decision:Array(UInt64)}[partition + 1]
          AND day BETWEEN {first:Int32} AND {last:Int32} AND reason <> 'paused' AND NOT shadow AND occurred_us IS NOT NULL
    )
    GROUP BY user_id
)

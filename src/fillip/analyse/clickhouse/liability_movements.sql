-- What moved outstanding points between two instants, by currency, a page of them: by kind, of what entered and left.
WITH moved AS (
    SELECT currency, movement, made_us > {begin:Int64} AS within,
           if(credit IN ('pending', 'active', 'held'), toInt128(amount), toInt128(0))
           - if(debit IN ('pending', 'active', 'held'), toInt128(amount), toInt128(0)) AS change
    FROM fact
    WHERE kind = 'transfer' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_transfer:Array(UInt64)}[partition + 1] AND made_us <= {end:Int64} AND currency > {after:String}
)
SELECT currency, sumIf(change, NOT within) AS opening,
       sumIf(change, within AND movement = 'grant') AS granted, sumIf(change, within AND movement = 'adjust') AS adjusted,
       sumIf(change, within AND movement = 'import') AS imported,
       sumIf(change, within AND movement = 'refund') AS refunded, -sumIf(change, within AND movement IN ('spend', 'capture')) AS spent,
       -sumIf(change, within AND movement = 'expire') AS expired, -sumIf(change, within AND movement = 'reverse') AS reversed,
       sum(change) AS closing
FROM moved GROUP BY currency ORDER BY currency LIMIT {count:UInt32}

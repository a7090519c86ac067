-- What was used of a limit by hour, a page of them.
SELECT made_us, sum(toInt128(amount)) AS used FROM fact FINAL
WHERE kind = 'use' AND tenant_id = {tenant_id:String} AND limit_id = {limit_id:String}
  AND ({key:Nullable(String)} IS NULL OR key = {key:Nullable(String)}) AND load >= {since_use:Array(UInt64)}[partition + 1]
  AND made_us >= {begin:Int64} AND made_us < {end:Int64} AND made_us > {after:Int64}
GROUP BY made_us ORDER BY made_us LIMIT {count:UInt32}

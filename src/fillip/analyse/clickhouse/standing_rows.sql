-- How rows of some keys stand; locks nothing.
SELECT id, revision, amount, steps FROM fact FINAL
WHERE kind = {kind:String} AND tenant_id IN {tenants:Array(String)} AND campaign_id IN {campaigns:Array(String)}
  AND limit_id IN {limits:Array(String)} AND day IN {days:Array(Int32)} AND id IN {ids:Array(UUID)}
  AND load >= {since:Array(UInt64)}[partition + 1]

-- Rejections by day and reason, a page of them.
SELECT day, reason, count() AS count FROM fact
WHERE kind = 'rejection' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
  AND load >= {since_rejection:Array(UInt64)}[partition + 1] AND day BETWEEN {first:Int32} AND {last:Int32}
  AND (day, reason) > ({after_day:Int32}, {after_name:String})
GROUP BY day, reason ORDER BY day, reason LIMIT {count:UInt32}

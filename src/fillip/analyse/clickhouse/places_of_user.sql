-- Decisions of a user up to an instant, a portion of their places; also those that no report counts any more.
SELECT load, number FROM fact
WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND user_id = {user_id:String}
  AND ifNull(decided_us <= {cut_us:Int64}, true)
LIMIT {most:UInt32}

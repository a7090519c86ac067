-- What users of a tenant hold at an instant, by currency: the sums of all transfers made by then, a page of them.
SELECT currency,
       sum(multiIf(credit = 'pending', toInt128(amount), debit = 'pending', -toInt128(amount), toInt128(0))) AS pending,
       sum(multiIf(credit = 'active', toInt128(amount), debit = 'active', -toInt128(amount), toInt128(0))) AS active,
       sum(multiIf(credit = 'held', toInt128(amount), debit = 'held', -toInt128(amount), toInt128(0))) AS held,
       pending + active + held AS outstanding
FROM fact
WHERE kind = 'transfer' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
  AND load >= {since_transfer:Array(UInt64)}[partition + 1] AND made_us <= {end:Int64} AND currency > {after:String}
GROUP BY currency ORDER BY currency LIMIT {count:UInt32}

-- Changes of levels by day of the tenant's calendar and currency, a page of them. Days are counted from 1970-01-01.
WITH moves AS (
    SELECT toInt32(toDate32(fromUnixTimestamp64Micro(made_us, {zone:String}))) AS day, currency, movement, debit, credit, count() AS changes
    FROM fact
    WHERE kind = 'level' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_level:Array(UInt64)}[partition + 1]
    GROUP BY day, currency, movement, debit, credit
)
SELECT day, currency, sumIf(changes, movement = 'up') AS up, sumIf(changes, movement = 'down') AS down,
       sumIf(changes, movement = 'renamed') AS renamed,
       arraySort(groupArray((toString(movement), toString(debit), toString(credit), changes))) AS moves
FROM moves
WHERE day BETWEEN {first:Int32} AND {last:Int32} AND (day, currency) > ({after_day:Int32}, {after_name:String})
GROUP BY day, currency ORDER BY day, currency LIMIT {count:UInt32}

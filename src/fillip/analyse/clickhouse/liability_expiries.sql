-- What users of a tenant hold at an instant, by currency and by the month in which it expires, a page of them. Lots are summed by
-- spans of `span_us` first, which no month cuts. What holds have set aside is `held`, what else no lot
-- that lasts on stands for is `unsettled`.
WITH lots AS (
    SELECT currency, if(expires_us IS NULL, NULL, intDiv(expires_us - 1, {span_us:Int64})) AS span, sum(toInt128(change)) AS held
    FROM (
        SELECT currency, lot.expires_us AS expires_us, lot.change AS change FROM fact ARRAY JOIN lots AS lot
        WHERE kind IN ('transfer', 'drawn') AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
          AND load >= if(kind = 'drawn', {since_drawn:Array(UInt64)}, {since_transfer:Array(UInt64)})[partition + 1]
          AND made_us <= {at_us:Int64} AND currency >= {after_currency:String}
    )
    WHERE expires_us IS NULL OR expires_us > {at_us:Int64}
    GROUP BY currency, span
), lasting AS (
    SELECT currency, if(span IS NULL, 'never', {months:Array(String)}[
               arrayLastIndex(begin -> begin <= assumeNotNull(span) * {span_us:Int64}, {begins_us:Array(Int64)})]) AS expires,
           sum(held) AS outstanding
    FROM lots GROUP BY currency, expires
), owing AS (
    SELECT currency, sum(if(credit IN ('pending', 'active', 'held'), toInt128(amount), toInt128(0))
                         - if(debit IN ('pending', 'active', 'held'), toInt128(amount), toInt128(0))) AS outstanding,
           sum(multiIf(credit = 'held', toInt128(amount), debit = 'held', -toInt128(amount), toInt128(0))) AS held
    FROM fact
    WHERE kind = 'transfer' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_transfer:Array(UInt64)}[partition + 1]
      AND made_us <= {at_us:Int64} AND currency >= {after_currency:String}
    GROUP BY currency
), lines AS (
    SELECT currency, expires, outstanding FROM lasting
    UNION ALL
    SELECT currency, 'held' AS expires, held AS outstanding FROM owing
    UNION ALL
    SELECT currency, 'unsettled' AS expires, sum(left) AS outstanding
    FROM (SELECT currency, outstanding - held AS left FROM owing UNION ALL SELECT currency, -outstanding AS left FROM lasting)
    GROUP BY currency
)
SELECT currency, expires, outstanding FROM lines
WHERE outstanding <> 0 AND (currency, expires) > ({after_currency:String}, {after_expires:String})
ORDER BY currency, expires LIMIT {count:UInt32}

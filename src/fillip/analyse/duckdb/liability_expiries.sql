-- What users of a tenant hold at an instant, by currency and by the month in which it expires, a page of them. Lots are summed by
-- spans of $span_us first, which no month cuts. What holds have set aside is `held`, what else no lot
-- that lasts on stands for is `unsettled`.
WITH lots AS (
    SELECT currency, (epoch_us(expires_at) - 1) // $span_us AS span, sum(change) AS held
    FROM lot_fact
    WHERE tenant_id = $tenant_id AND made_at <= $at AND (expires_at IS NULL OR expires_at > $at) AND currency >= $after_currency
    GROUP BY ALL
), months AS (
    SELECT unnest($begins_us::bigint[]) // $span_us AS span, unnest($months::varchar[]) AS month
), lasting AS (
    SELECT currency, coalesce(month, 'never') AS expires, sum(held) AS outstanding
    FROM lots ASOF LEFT JOIN months ON lots.span >= months.span GROUP BY ALL
), owing AS (
    SELECT currency, sum(CASE WHEN credit IN ('pending', 'active', 'held') THEN amount ELSE 0 END
                         - CASE WHEN debit IN ('pending', 'active', 'held') THEN amount ELSE 0 END) AS outstanding,
           sum(CASE WHEN credit = 'held' THEN amount WHEN debit = 'held' THEN -amount ELSE 0 END) AS held
    FROM transfer_fact WHERE tenant_id = $tenant_id AND made_at <= $at AND currency >= $after_currency GROUP BY currency
), lines AS (
    FROM lasting
    UNION ALL
    SELECT currency, 'held', held FROM owing
    UNION ALL
    SELECT currency, 'unsettled', sum(outstanding)
    FROM (SELECT currency, outstanding - held AS outstanding FROM owing UNION ALL SELECT currency, -outstanding FROM lasting) GROUP BY currency
)
FROM lines WHERE outstanding <> 0 AND (currency, expires) > ($after_currency, $after_expires)
ORDER BY currency, expires LIMIT $count

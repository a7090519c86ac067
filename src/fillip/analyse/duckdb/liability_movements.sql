-- What moved outstanding points between two instants, by currency, a page of them: by kind, of what entered and left.
WITH sums AS (
    SELECT currency, kind, debit, credit, made_at > $begin AS within, sum(amount) AS amount
    FROM transfer_fact WHERE tenant_id = $tenant_id AND made_at <= $end AND currency > $after GROUP BY ALL
), moved AS (
    SELECT currency, kind, within,
           CASE WHEN credit IN ('pending', 'active', 'held') THEN amount ELSE 0 END
           - CASE WHEN debit IN ('pending', 'active', 'held') THEN amount ELSE 0 END AS change
    FROM sums
)
SELECT currency,
       coalesce(sum(change) FILTER (WHERE NOT within), 0) AS opening,
       coalesce(sum(change) FILTER (WHERE within AND kind = 'grant'), 0) AS granted,
       coalesce(sum(change) FILTER (WHERE within AND kind = 'adjust'), 0) AS adjusted,
       coalesce(sum(change) FILTER (WHERE within AND kind = 'import'), 0) AS imported,
       coalesce(sum(change) FILTER (WHERE within AND kind = 'refund'), 0) AS refunded,
       coalesce(-sum(change) FILTER (WHERE within AND kind IN ('spend', 'capture')), 0) AS spent,
       coalesce(-sum(change) FILTER (WHERE within AND kind = 'expire'), 0) AS expired,
       coalesce(-sum(change) FILTER (WHERE within AND kind = 'reverse'), 0) AS reversed,
       sum(change) AS closing
FROM moved GROUP BY currency ORDER BY currency LIMIT $count

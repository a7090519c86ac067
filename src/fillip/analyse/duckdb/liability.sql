-- What users of a tenant hold at an instant, by currency: the sums of all transfers made by then, a page of them.
SELECT currency,
       sum(CASE WHEN credit = 'pending' THEN amount WHEN debit = 'pending' THEN -amount ELSE 0 END) AS pending,
       sum(CASE WHEN credit = 'active' THEN amount WHEN debit = 'active' THEN -amount ELSE 0 END) AS active,
       sum(CASE WHEN credit = 'held' THEN amount WHEN debit = 'held' THEN -amount ELSE 0 END) AS held,
       pending + active + held AS outstanding
FROM transfer_fact WHERE tenant_id = $tenant_id AND made_at <= $end AND currency > $after
GROUP BY currency ORDER BY currency LIMIT $count

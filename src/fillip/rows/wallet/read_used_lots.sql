-- The first $5 lots of a locked wallet of which something was used, what has expired by $4 last. Locks nothing more.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM wallet_lot l
WHERE l.tenant_id = $1 AND l.user_id = $2 AND l.currency = $3 AND l.amount > l.remaining + l.reversed
ORDER BY coalesce(l.expires_at <= $4, false), l.expires_at, l.seq LIMIT $5

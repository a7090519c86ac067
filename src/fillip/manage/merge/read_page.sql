-- The first $4 lots of a locked wallet of which something remains, those that expire first first. Locks nothing more.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM wallet_lot l
WHERE l.tenant_id = $1 AND l.user_id = $2 AND l.currency = $3 AND l.remaining > 0
ORDER BY l.expires_at, l.seq LIMIT $4

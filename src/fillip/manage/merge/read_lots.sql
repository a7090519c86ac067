-- All lots that a locked wallet ever had and has yet: each is named by the transfer that made it, or brought it. Locks nothing more.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM (
    SELECT DISTINCT n.lot_id::uuid AS lot_id
    FROM wallet_transfer t CROSS JOIN LATERAL jsonb_object_keys(t.lots) AS n (lot_id)
    WHERE t.tenant_id = $1 AND t.user_id = $2 AND t.currency = $3
) named
JOIN wallet_lot l ON l.tenant_id = $1 AND l.lot_id = named.lot_id AND l.user_id = $2 AND l.currency = $3

-- Lots by id, with who has them by now where their user is being merged into another, and by which merge. Locks nothing: their wallets are
-- locked, or are yet to be.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at,
       m.merged_into, m.merge_id
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, lot_id)
JOIN wallet_lot l USING (tenant_id, lot_id)
LEFT JOIN user_merge m ON m.tenant_id = l.tenant_id AND m.user_id = l.user_id

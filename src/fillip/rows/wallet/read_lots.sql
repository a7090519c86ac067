-- Lots by id. Locks nothing: their wallets are locked.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, lot_id)
JOIN wallet_lot l USING (tenant_id, lot_id)

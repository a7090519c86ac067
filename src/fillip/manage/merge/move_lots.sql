-- Gives lots to another wallet, each with its number there. Locks them; both wallets are locked already.
UPDATE wallet_lot l SET user_id = $2, seq = m.seq
FROM unnest($3::uuid[], $4::bigint[]) AS m (lot_id, seq)
WHERE l.tenant_id = $1 AND l.lot_id = m.lot_id

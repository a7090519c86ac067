-- A hold as it is now. Locks its row; its wallet is locked.
INSERT INTO wallet_hold (tenant_id, user_id, currency, transfer_id, seq, hold_id, amount, held_until, due_at, state, captured, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant_id, transfer_id) DO UPDATE
SET due_at = excluded.due_at, state = excluded.state, captured = excluded.captured, ended_at = excluded.ended_at

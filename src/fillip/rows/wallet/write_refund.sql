-- How far a refund is, or a release. Locks its row; its wallet is locked.
INSERT INTO wallet_refund (tenant_id, transfer_id, refund_id, amount, returned, last_id) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, transfer_id, refund_id) DO UPDATE SET returned = excluded.returned, last_id = excluded.last_id

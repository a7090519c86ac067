-- One refund of a spend, or the release of a hold. Locks nothing: its wallet is locked.
SELECT refund_id, amount, returned, last_id FROM wallet_refund WHERE tenant_id = $1 AND transfer_id = $2 AND refund_id = $3

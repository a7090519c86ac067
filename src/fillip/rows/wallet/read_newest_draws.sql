-- The newest $4 draws of a locked wallet that are of reversals and debts. Locks nothing more.
SELECT d.transfer_id, d.seq, d.owed, d.since, d.part
FROM wallet_draw d JOIN wallet_transfer t ON t.tenant_id = d.tenant_id AND t.transfer_id = d.transfer_id
WHERE d.tenant_id = $1 AND d.user_id = $2 AND d.currency = $3 AND t.kind NOT IN ('spend', 'hold')
ORDER BY d.seq DESC LIMIT $4

-- Wallets as each of these transfers left them, in their order. Locks nothing.
SELECT t.transfer_id, t.currency, t.pending_after, t.active_after
FROM unnest($1::text[], $2::uuid[]) AS g (tenant_id, transfer_id)
JOIN wallet_transfer t USING (tenant_id, transfer_id)
ORDER BY t.seq

-- Wallets as each of these transfers left them, in their order. Locks nothing.
SELECT t.transfer_id, t.currency, t.pending_after, t.active_after
FROM unnest($1::text[], $2::uuid[]) AS g (tenant_id, transfer_id)
CROSS JOIN LATERAL (
    SELECT * FROM wallet_transfer m WHERE m.tenant_id = g.tenant_id AND m.transfer_id = g.transfer_id OFFSET 0
) t
ORDER BY t.seq

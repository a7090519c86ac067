-- Those incentives that there are, in the order of their rewards, and a wallet as the transfer of each left it, where there is one. Locks nothing.
SELECT g.number, i.decision_id, i.incentive_id, i.reward_index, i.kind, i.value, i.currency, i.payload, i.coupon_code, i.expires_at,
       t.currency AS wallet, t.seq, t.pending_after, t.active_after
FROM unnest($1::text[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS g (tenant_id, incentive_id, transfer_id, number)
CROSS JOIN LATERAL (
    SELECT * FROM incentive m WHERE m.tenant_id = g.tenant_id AND m.incentive_id = g.incentive_id OFFSET 0
) i
LEFT JOIN LATERAL (
    SELECT * FROM wallet_transfer m WHERE m.tenant_id = g.tenant_id AND m.transfer_id = g.transfer_id OFFSET 0
) t ON true
ORDER BY i.decision_id, i.reward_index

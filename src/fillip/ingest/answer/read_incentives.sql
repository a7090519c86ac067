-- Those incentives that there are, in the order of their rewards. Locks nothing.
SELECT i.decision_id, i.incentive_id, i.reward_index, i.kind, i.value, i.currency, i.payload, i.coupon_code, i.expires_at
FROM unnest($1::text[], $2::uuid[]) AS g (tenant_id, incentive_id)
CROSS JOIN LATERAL (
    SELECT * FROM incentive m WHERE m.tenant_id = g.tenant_id AND m.incentive_id = g.incentive_id OFFSET 0
) i
ORDER BY i.decision_id, i.reward_index

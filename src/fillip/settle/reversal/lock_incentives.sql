-- Locks these incentives, named in sorted order.
SELECT i.tenant_id, i.decision_id, i.incentive_id, i.kind, i.value, i.currency, i.reversed_value, i.state,
       i.reward_index
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, incentive_id)
CROSS JOIN LATERAL (
    SELECT * FROM incentive h WHERE h.tenant_id = asked.tenant_id AND h.incentive_id = asked.incentive_id
    FOR UPDATE
) i

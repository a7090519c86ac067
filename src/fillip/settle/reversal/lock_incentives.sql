SELECT i.tenant_id, i.decision_id, i.incentive_id, i.kind, i.value, i.currency, i.reversed_value, i.state
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, incentive_id)
JOIN incentive i USING (tenant_id, incentive_id)
ORDER BY i.tenant_id, i.incentive_id
FOR UPDATE OF i

SELECT to_jsonb(d) AS decision, i.reward_index, i.kind, i.value, b.seq
FROM incentive i
JOIN decision d USING (tenant_id, decision_id)
LEFT JOIN inbox b ON b.tenant_id = i.tenant_id AND b.incentive_id = i.incentive_id
WHERE i.tenant_id = %s
ORDER BY d.user_id, b.seq

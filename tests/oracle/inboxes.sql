SELECT b.user_id, to_jsonb(d) AS decision, i.reward_index, CASE b.kind WHEN 'granted' THEN i.kind ELSE b.kind END,
       coalesce(c.changed_value, i.value), coalesce(c.reversal_source || ' ' || c.reversal_id, ''), b.seq
FROM inbox b
JOIN incentive i USING (tenant_id, incentive_id)
JOIN decision d USING (tenant_id, decision_id)
LEFT JOIN incentive_change c ON c.tenant_id = b.tenant_id AND c.user_id = b.user_id AND c.inbox_seq = b.seq
WHERE b.tenant_id = %s
ORDER BY b.user_id, b.seq

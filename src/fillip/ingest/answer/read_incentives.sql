-- The incentives of granted decisions, found by user and time: no index has the decision. Locks nothing.
SELECT i.decision_id, i.incentive_id, i.reward_index, i.kind, i.value, i.currency, i.payload, i.coupon_code, i.expires_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::uuid[]) AS d (tenant_id, user_id, decided_at, decision_id)
JOIN incentive i ON i.tenant_id = d.tenant_id AND i.user_id = d.user_id AND i.granted_at = d.decided_at
                    AND i.decision_id = d.decision_id
ORDER BY i.decision_id, i.reward_index

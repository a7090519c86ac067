-- What the limits count, which stays as it is: the fence has taken the lock of these tenants' limits.
SELECT l.tenant_id, l.limit_id, l.measure, l.reward_kind, l.currency, l.scope LIKE 'user%' AS per_user, l.cap
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, limit_id)
JOIN spending_limit l USING (tenant_id, limit_id)

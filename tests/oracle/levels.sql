-- The levels of a tenant's users as they are stored, while their ladder stands.
SELECT u.currency, u.user_id, u.level, u.threshold, u.since, u.falls_at
FROM user_level u JOIN ladder l USING (tenant_id, currency)
WHERE tenant_id = %(tenant)s AND NOT l.leaving

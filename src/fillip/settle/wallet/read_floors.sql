-- How far below zero wallets of these currencies may go. Locks nothing.
SELECT c.tenant_id, c.currency, c.floor
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, currency)
JOIN points_currency c USING (tenant_id, currency)

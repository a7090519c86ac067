-- Wallets with something due, those that have waited longest first; as fillip_publish, which sees all tenants.
SELECT DISTINCT due.tenant_id, due.user_id, due.currency
FROM (
    SELECT l.tenant_id, l.user_id, l.currency FROM wallet_lot l
    WHERE l.remaining > 0 AND least(l.expires_at, CASE l.account WHEN 'pending' THEN l.available_at END) <= $1
    ORDER BY least(l.expires_at, CASE l.account WHEN 'pending' THEN l.available_at END)
    LIMIT $2
) AS due

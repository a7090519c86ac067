-- As fillip_publish, which sees all tenants. Points expire in their wallets.
SELECT tenant_id, incentive_id FROM incentive
WHERE state = 'granted' AND kind <> 'points' AND expires_at <= $1
ORDER BY expires_at LIMIT $2

SELECT b.seq, i.incentive_id, i.campaign_id, i.kind, i.value, i.currency, i.payload::text AS payload, i.granted_at, i.event_id
FROM inbox b JOIN incentive i USING (tenant_id, incentive_id)
WHERE b.tenant_id = $1 AND b.user_id = $2 AND b.seq > $3
ORDER BY b.seq LIMIT $4

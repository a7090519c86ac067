SELECT b.seq, b.kind AS entry, i.incentive_id, i.campaign_id, i.kind, i.value, i.currency, i.payload::text AS payload,
       i.granted_at, i.event_id, c.changed_value, c.reversed_value, c.reason, c.changed_at,
       i.coupon_code, i.expires_at
FROM inbox b JOIN incentive i USING (tenant_id, incentive_id)
LEFT JOIN incentive_change c ON c.tenant_id = b.tenant_id AND c.user_id = b.user_id AND c.inbox_seq = b.seq
WHERE b.tenant_id = $1 AND b.user_id = $2 AND b.seq > $3
ORDER BY b.seq LIMIT $4

-- A page of a user's inbox with what its entries tell of. Locks nothing.
-- Instants as text: one that Python has no words for must not hide the others of its page.
SELECT b.seq, b.kind AS entry, i.incentive_id, i.campaign_id, i.kind, i.value, i.currency, i.payload::text AS payload,
       to_jsonb(i.granted_at) #>> '{}' AS granted_at, i.event_id, i.event_source, c.changed_value, c.reversed_value, c.reason,
       to_jsonb(c.changed_at) #>> '{}' AS changed_at, i.coupon_code, to_jsonb(i.expires_at) #>> '{}' AS expires_at
FROM inbox b JOIN incentive i USING (tenant_id, incentive_id)
LEFT JOIN incentive_change c ON c.tenant_id = b.tenant_id AND c.user_id = b.user_id AND c.inbox_seq = b.seq
WHERE b.tenant_id = $1 AND b.user_id = $2 AND b.seq > $3
ORDER BY b.seq LIMIT $4

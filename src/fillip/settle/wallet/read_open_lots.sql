SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.account, l.amount, l.remaining, l.seq, l.expired, l.reversed,
       l.available_at, l.expires_at
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, user_id, currency)
JOIN wallet_lot l USING (tenant_id, user_id, currency)
WHERE l.remaining > 0

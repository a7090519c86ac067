-- The first $6 open active lots of each of these locked wallets that expire after an instant of its own. Locks nothing.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
  AS asked (tenant_id, user_id, currency, activated_to, since)
CROSS JOIN LATERAL list_first_lots(asked.tenant_id, asked.user_id, asked.currency, asked.activated_to, asked.since,
                                   $6) AS l
ORDER BY l.expires_at, l.seq

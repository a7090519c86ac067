-- Locks nothing. What fell due by $6 in locked wallets, lot by lot, some more than $7 where there are that many.
SELECT l.tenant_id, l.user_id, l.currency, l.lot_id, l.amount, l.remaining, l.seq, l.reversed, l.available_at, l.expires_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
  AS asked (tenant_id, user_id, currency, activated_to, expired_to)
CROSS JOIN LATERAL list_due_lots(asked.tenant_id, asked.user_id, asked.currency, asked.activated_to, asked.expired_to,
                                 $6, $7) AS l

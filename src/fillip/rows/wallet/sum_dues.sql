-- The sums of what fell due by $6 in locked wallets. Locks nothing more.
SELECT asked.tenant_id, asked.user_id, asked.currency, s.activating, s.expiring
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
  AS asked (tenant_id, user_id, currency, activated_to, expired_to)
CROSS JOIN LATERAL sum_due_lots(asked.tenant_id, asked.user_id, asked.currency, asked.activated_to, asked.expired_to,
                                $6) AS s

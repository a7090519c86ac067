-- The oldest $4 draws of each of these locked wallets. Locks nothing more.
SELECT d.tenant_id, d.user_id, d.currency, d.transfer_id, d.seq, d.owed, d.since, d.part
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, user_id, currency)
CROSS JOIN LATERAL (
    SELECT w.* FROM wallet_draw w
    WHERE w.tenant_id = asked.tenant_id AND w.user_id = asked.user_id AND w.currency = asked.currency
    ORDER BY w.seq LIMIT $4
) AS d
ORDER BY d.seq

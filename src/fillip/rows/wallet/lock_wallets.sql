-- Locks wallets, asked for in sorted order, so locked in it.
SELECT w.tenant_id, w.user_id, w.currency, w.pending, w.active, w.spent, w.expired, w.reversed, w.floor, w.last_seq, w.owed,
       w.activated_to, w.expired_to, w.due_at, w.held
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, user_id, currency)
JOIN wallet w USING (tenant_id, user_id, currency)
ORDER BY w.tenant_id, w.user_id, w.currency
FOR UPDATE OF w

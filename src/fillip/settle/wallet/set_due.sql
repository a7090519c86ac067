-- Notes when locked wallets fall due next: at once ($4) where lots owe to a draw, else with the first lot. Looks that one up
-- in the indexes.
UPDATE wallet w
SET due_at = CASE
    WHEN EXISTS (SELECT FROM wallet_draw d
                 WHERE d.tenant_id = w.tenant_id AND d.user_id = w.user_id AND d.currency = w.currency) THEN $4
    ELSE least(
        (SELECT l.available_at FROM wallet_lot l
         WHERE l.tenant_id = w.tenant_id AND l.user_id = w.user_id AND l.currency = w.currency AND l.remaining > 0
           AND l.available_at > w.activated_to ORDER BY l.available_at LIMIT 1),
        (SELECT l.expires_at FROM wallet_lot l
         WHERE l.tenant_id = w.tenant_id AND l.user_id = w.user_id AND l.currency = w.currency AND l.remaining > 0
           AND l.expires_at > w.expired_to ORDER BY l.expires_at LIMIT 1))
    END
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, user_id, currency)
WHERE w.tenant_id = asked.tenant_id AND w.user_id = asked.user_id AND w.currency = asked.currency

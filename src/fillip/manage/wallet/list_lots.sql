-- Lots of a wallet that last beyond `at` and of which something remains, the one that expires first first, behind (`since`, `seq`) among
-- those that expire and behind `never_seq` among those that never do; `before` is what remains of active ones before the page, where lots
-- are `owed` to draws. Locks nothing.
WITH page AS MATERIALIZED (
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
       AND l.expires_at > CAST(:at AS timestamptz) AND (l.expires_at, l.seq) > (CAST(:since AS timestamptz), CAST(:seq AS bigint))
     ORDER BY l.expires_at, l.seq LIMIT :count)
    UNION ALL
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
       AND l.expires_at IS NULL AND l.seq > CAST(:never_seq AS bigint)
     ORDER BY l.expires_at, l.seq LIMIT :count)
)
SELECT p.lot_id, p.amount, p.remaining, p.available_at, p.expires_at, p.seq, t.kind, t.source_id,
       CASE WHEN CAST(:owed AS bigint) > 0 THEN (
           SELECT coalesce(sum(l.remaining), 0)::bigint FROM wallet_lot l
           WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
             AND (l.available_at IS NULL OR l.available_at <= CAST(:at AS timestamptz))
             AND (l.expires_at > CAST(:at AS timestamptz) AND (l.expires_at, l.seq) <= (CAST(:since AS timestamptz), CAST(:seq AS bigint))
                  OR l.expires_at IS NULL AND l.seq <= CAST(:never_seq AS bigint)))
       ELSE 0 END AS before
FROM page p
LEFT JOIN wallet_transfer t ON t.tenant_id = :tenant_id AND t.user_id = :user_id AND t.currency = :currency AND t.seq = p.seq
ORDER BY p.expires_at, p.seq LIMIT :count

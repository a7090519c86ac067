-- Lots of a wallet that last beyond `at` and of which something remains, the one that expires first first, behind (`since`, `seq`, `lot_id`)
-- among those that expire and behind (`never_seq`, `lot_id`) among those that never do; `before` is what remains of active ones before the page, where lots
-- are `owed` to draws. A lot that a merge brought when nothing remained of it has a number of another transfer's, or of another such lot. Locks nothing.
WITH page AS MATERIALIZED (
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
       AND l.expires_at > CAST(:at AS timestamptz)
       AND (l.expires_at, l.seq, l.lot_id) > (CAST(:since AS timestamptz), CAST(:seq AS bigint), CAST(:lot_id AS uuid))
     ORDER BY l.expires_at, l.seq, l.lot_id LIMIT :count)
    UNION ALL
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
       AND l.expires_at IS NULL AND (l.seq, l.lot_id) > (CAST(:never_seq AS bigint), CAST(:lot_id AS uuid))
     ORDER BY l.expires_at, l.seq, l.lot_id LIMIT :count)
)
SELECT p.lot_id, p.amount, p.remaining, p.available_at, p.expires_at, p.seq, coalesce(t.kind, 'merge') AS kind, t.source_id,
       CASE WHEN CAST(:owed AS bigint) > 0 THEN (
           SELECT coalesce(sum(l.remaining), 0)::bigint FROM wallet_lot l
           WHERE l.tenant_id = :tenant_id AND l.user_id = :user_id AND l.currency = :currency AND l.remaining > 0
             AND (l.available_at IS NULL OR l.available_at <= CAST(:at AS timestamptz))
             AND (l.expires_at > CAST(:at AS timestamptz)
                  AND (l.expires_at, l.seq, l.lot_id) <= (CAST(:since AS timestamptz), CAST(:seq AS bigint), CAST(:lot_id AS uuid))
                  OR l.expires_at IS NULL AND (l.seq, l.lot_id) <= (CAST(:never_seq AS bigint), CAST(:lot_id AS uuid))))
       ELSE 0 END AS before
FROM page p
LEFT JOIN wallet_transfer t ON t.tenant_id = :tenant_id AND t.user_id = :user_id AND t.currency = :currency AND t.seq = p.seq
    AND t.lots ? replace(p.lot_id::text, '-', '')
ORDER BY p.expires_at, p.seq, p.lot_id LIMIT :count

-- The draw of the transfer $5, of number $4 in a locked wallet, with what draws before it are owed, and all draws; no row where it is owed
-- nothing. Locks nothing more.
SELECT d.transfer_id, d.seq, d.owed, d.since, d.part,
       (SELECT coalesce(sum(w.owed), 0)::bigint FROM wallet_draw w
        WHERE w.tenant_id = d.tenant_id AND w.user_id = d.user_id AND w.currency = d.currency AND w.seq < d.seq) AS before,
       (SELECT sum(w.owed)::bigint FROM wallet_draw w
        WHERE w.tenant_id = d.tenant_id AND w.user_id = d.user_id AND w.currency = d.currency) AS all_of_them
FROM wallet_draw d WHERE d.tenant_id = $1 AND d.user_id = $2 AND d.currency = $3 AND d.seq = $4 AND d.transfer_id = $5

-- What is wrong with the wallets of tenant $1 (of user $2, where given): every column has to be 0.
WITH posting AS (
    SELECT * FROM wallet_posting WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), transfer AS (
    SELECT * FROM wallet_transfer WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), lot AS (
    SELECT * FROM wallet_lot WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), purse AS (
    SELECT * FROM wallet WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), balance AS (
    SELECT p.user_id, p.currency, a.account, a.amount
    FROM purse p CROSS JOIN LATERAL (VALUES ('pending', p.pending), ('active', p.active), ('spent', p.spent),
                                            ('expired', p.expired), ('reversed', p.reversed)) AS a (account, amount)
), summed AS (
    SELECT user_id, currency, account, sum(amount) AS amount FROM posting WHERE account <> 'issued' GROUP BY 1, 2, 3
), recount AS (
    SELECT c.key::uuid AS lot_id, sum(c.value::bigint) AS remaining FROM transfer t, jsonb_each_text(t.lots) c GROUP BY 1
), taken AS (
    SELECT source_id::uuid AS lot_id, sum(amount) FILTER (WHERE kind = 'expire') AS expired,
           sum(amount) FILTER (WHERE kind = 'reverse') AS reversed
    FROM transfer WHERE kind IN ('expire', 'reverse') GROUP BY 1
), open AS (
    SELECT user_id, currency, sum(remaining) FILTER (WHERE account = 'pending') AS pending,
           sum(remaining) FILTER (WHERE account = 'active') AS active
    FROM lot GROUP BY 1, 2
), told AS (
    SELECT user_id, currency, count(*) AS count, min(seq) AS first, max(seq) AS last,
           (array_agg(pending_after ORDER BY seq DESC))[1] AS pending,
           (array_agg(active_after ORDER BY seq DESC))[1] AS active
    FROM transfer GROUP BY 1, 2
), earned AS (
    SELECT incentive_id, value FROM incentive
    WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2) AND kind = 'points' AND value > 0
), posted AS (
    SELECT source_id::uuid AS incentive_id, amount FROM transfer WHERE kind = 'grant'
)
SELECT
    (SELECT count(*) FROM (SELECT FROM posting GROUP BY currency HAVING sum(amount) <> 0) AS x)
        AS "I10: currencies whose debits are unlike their credits",
    (SELECT count(*) FROM balance FULL JOIN summed USING (user_id, currency, account)
     WHERE coalesce(balance.amount, 0) <> coalesce(summed.amount, 0)) AS "I10: balances unlike the sum of their postings",
    (SELECT count(*) FROM purse LEFT JOIN points_currency c ON c.tenant_id = $1 AND c.currency = purse.currency
     WHERE active < c.floor OR active < purse.floor OR least(pending, spent, expired, reversed) < 0)
        AS "I10: accounts under their floor",
    (SELECT count(*) FROM lot LEFT JOIN recount USING (lot_id)
     WHERE lot.remaining IS DISTINCT FROM recount.remaining) AS "lots unlike the recount from transfers",
    (SELECT count(*) FROM lot LEFT JOIN taken USING (lot_id)
     WHERE (lot.expired, lot.reversed) <> (coalesce(taken.expired, 0), coalesce(taken.reversed, 0)))
        AS "lots whose expiry or reversals are unlike their transfers",
    (SELECT count(*) FROM purse LEFT JOIN open USING (user_id, currency)
     WHERE coalesce(open.pending, 0) <> purse.pending OR coalesce(open.active, 0) <> greatest(purse.active, 0))
        AS "wallets whose open lots are unlike their balance",
    (SELECT count(*) FROM purse JOIN told USING (user_id, currency)
     WHERE (told.first, told.count) <> (1, told.last) OR told.last <> purse.last_seq
        OR (told.pending, told.active) <> (purse.pending, purse.active)) AS "statements with a gap or another balance",
    (SELECT count(*) FROM earned FULL JOIN posted USING (incentive_id)
     WHERE earned.value IS DISTINCT FROM posted.amount) AS "I3: incentives of points not posted once",
    (SELECT count(*) FROM transfer s WHERE s.kind = 'refund' AND NOT EXISTS (
        SELECT FROM transfer o WHERE o.kind = 'spend' AND (o.user_id, o.currency, o.source_id, o.amount)
                                                        = (s.user_id, s.currency, s.source_id, s.amount)))
        AS "refunds without their spend"

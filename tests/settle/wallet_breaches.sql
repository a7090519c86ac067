-- What is wrong with the wallets of tenant $1 (of user $2, where given): every column has to be 0.
WITH posting AS (
    SELECT * FROM wallet_posting WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), transfer AS (
    SELECT * FROM wallet_transfer WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), lot AS (
    SELECT * FROM wallet_lot WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), purse AS (
    SELECT * FROM wallet WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), draw AS (
    SELECT * FROM wallet_draw WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), part AS (
    SELECT p.* FROM wallet_part p JOIN transfer t USING (transfer_id) WHERE p.tenant_id = $1
), balance AS (
    SELECT p.user_id, p.currency, a.account, a.amount
    FROM purse p CROSS JOIN LATERAL (VALUES ('pending', p.pending), ('active', p.active), ('held', p.held), ('spent', p.spent),
                                            ('expired', p.expired), ('reversed', p.reversed)) AS a (account, amount)
), summed AS (
    SELECT user_id, currency, account, sum(amount) AS amount FROM posting WHERE account NOT IN ('issued', 'imported') GROUP BY 1, 2, 3
), recount AS (
    SELECT c.key::uuid AS lot_id, sum(c.value::bigint) AS remaining
    FROM (SELECT lots FROM transfer UNION ALL SELECT lots FROM part) t, jsonb_each_text(t.lots) c GROUP BY 1
), taken AS (
    SELECT source_id::uuid AS lot_id, sum(amount) AS reversed FROM transfer WHERE kind = 'reverse' GROUP BY 1
), open AS (
    SELECT user_id, currency, sum(remaining) FILTER (WHERE lot.available_at > w.activated_to) AS pending,
           sum(remaining) FILTER (WHERE lot.expires_at <= w.expired_to) AS expired,
           sum(remaining) FILTER (WHERE coalesce(lot.available_at <= w.activated_to, true)
                                    AND coalesce(lot.expires_at > w.expired_to, true)) AS active
    FROM lot JOIN purse w USING (user_id, currency) GROUP BY 1, 2
), owing AS (
    SELECT user_id, currency, sum(draw.owed) AS owed FROM draw GROUP BY 1, 2
), drawn AS (
    SELECT t.transfer_id, t.amount,
           coalesce((SELECT -sum(c.value::bigint) FROM jsonb_each_text(t.lots) c), 0)
           + coalesce((SELECT sum(p.amount) FROM part p WHERE p.transfer_id = t.transfer_id), 0)
           + coalesce((SELECT d.owed FROM draw d WHERE d.transfer_id = t.transfer_id), 0) AS given
    FROM transfer t WHERE t.kind IN ('spend', 'hold')
), hold AS (
    SELECT h.*, h.captured + coalesce((
        SELECT sum(r.returned) FROM wallet_refund r
        WHERE r.tenant_id = h.tenant_id AND r.transfer_id = h.transfer_id AND r.refund_id = ''), 0) AS gone
    FROM wallet_hold h WHERE h.tenant_id = $1 AND ($2::text IS NULL OR h.user_id = $2)
), holding AS (
    SELECT user_id, currency, sum(amount - gone) AS held FROM hold GROUP BY 1, 2
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
     WHERE active < c.floor OR active < purse.floor OR least(pending, held, spent, expired, reversed) < 0)
        AS "I10: accounts under their floor",
    (SELECT count(*) FROM lot LEFT JOIN recount USING (lot_id)
     WHERE lot.remaining IS DISTINCT FROM recount.remaining) AS "lots unlike the recount from transfers",
    (SELECT count(*) FROM lot LEFT JOIN taken USING (lot_id) WHERE lot.reversed <> coalesce(taken.reversed, 0))
        AS "lots whose reversals are unlike their transfers",
    (SELECT count(*) FROM purse LEFT JOIN open USING (user_id, currency) LEFT JOIN owing USING (user_id, currency)
     WHERE coalesce(open.pending, 0) <> purse.pending
        OR coalesce(open.active, 0) <> greatest(purse.active, 0) + purse.owed
        OR coalesce(open.expired, 0) <> purse.expired + coalesce(owing.owed, 0) - purse.owed)
        AS "wallets whose lots are unlike their balance",
    (SELECT count(*) FROM part WHERE amount <> (SELECT -sum(c.value::bigint) FROM jsonb_each_text(part.lots) c))
        AS "portions unlike their lots",
    (SELECT count(*) FROM purse JOIN lot USING (user_id, currency)
     WHERE lot.remaining > 0 AND coalesce(purse.due_at, 'infinity') > least(
               CASE WHEN lot.available_at > purse.activated_to THEN lot.available_at END,
               CASE WHEN lot.expires_at > purse.expired_to THEN lot.expires_at END, 'infinity'))
        AS "wallets that the sweep would come to too late",
    (SELECT count(*) FROM purse JOIN draw USING (user_id, currency) WHERE purse.due_at IS NULL)
        AS "draws that the sweep would not come to",
    (SELECT count(*) FROM drawn WHERE given <> amount AND given + coalesce(
        (SELECT sum(r.amount) FROM transfer r JOIN transfer s USING (user_id, currency, source_id)
         WHERE s.transfer_id = drawn.transfer_id AND r.kind IN ('refund', 'release')), 0) < amount)
        AS "spends that lots gave too little for",
    (SELECT count(*) FROM purse JOIN told USING (user_id, currency)
     WHERE (told.first, told.count) <> (1, told.last) OR told.last <> purse.last_seq
        OR (told.pending, told.active) <> (purse.pending, purse.active)) AS "statements with a gap or another balance",
    (SELECT count(*) FROM earned FULL JOIN posted USING (incentive_id)
     WHERE earned.value IS DISTINCT FROM posted.amount) AS "I3: incentives of points not posted once",
    (SELECT count(*) FROM (
        SELECT r.user_id, r.currency, r.source_id, sum(r.amount) AS amount FROM transfer r WHERE r.kind IN ('refund', 'release')
        GROUP BY 1, 2, 3) AS r
     WHERE NOT EXISTS (
        SELECT FROM transfer o WHERE o.kind IN ('spend', 'hold') AND o.amount >= r.amount
                                 AND (o.user_id, o.currency, o.source_id) = (r.user_id, r.currency, r.source_id)))
        AS "refunds beyond their spend",
    (SELECT count(*) FROM transfer g WHERE g.kind = 'receive' AND g.amount IS DISTINCT FROM (
        SELECT o.amount FROM wallet_transfer o
        WHERE o.tenant_id = $1 AND o.kind = 'give' AND o.made_at = g.made_at AND o.transfer_id = g.source_id::uuid
          AND o.amount = (SELECT -sum(c.value::bigint) FROM jsonb_each_text(o.lots) c)))
        AS "gifts received otherwise than they were given",
    (SELECT count(*) FROM transfer g WHERE g.kind = 'give' AND NOT EXISTS (
        SELECT FROM wallet_transfer o WHERE o.tenant_id = $1 AND o.kind = 'receive' AND o.source_id = replace(g.transfer_id::text, '-', '')))
        AS "gifts that nobody received",
    (SELECT count(*) FROM purse LEFT JOIN holding USING (user_id, currency) WHERE coalesce(holding.held, 0) <> purse.held)
        AS "wallets that hold another sum than their holds",
    (SELECT count(*) FROM hold h
     WHERE (h.amount, h.captured) IS DISTINCT FROM (
        (SELECT t.amount FROM transfer t WHERE t.kind = 'hold' AND t.transfer_id = h.transfer_id),
        (SELECT coalesce(sum(t.amount), 0)::bigint FROM transfer t
         WHERE t.kind = 'capture' AND (t.user_id, t.currency, t.source_id) = (h.user_id, h.currency, h.hold_id))))
        AS "holds unlike their transfers",
    (SELECT count(*) FROM hold WHERE (due_at IS NULL) <> (gone = amount) OR (state = 'held') <> (due_at IS NOT DISTINCT FROM held_until))
        AS "holds that the sweep would not come to"

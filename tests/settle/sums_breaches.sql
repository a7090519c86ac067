-- Where wallets, reversals, incentives, users' inboxes, limits and refunds of tenant $1 (of user $2, where given) say
-- different sums: every column has to be 0.
WITH applied AS (
    SELECT * FROM reversal WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2) AND state = 'applied'
), earned AS (
    SELECT i.*, d.limits, coalesce((v.definition ->> 'give_back')::bool, true) AS give_back
    FROM incentive i JOIN decision d USING (tenant_id, decision_id)
    JOIN campaign_version v ON v.tenant_id = d.tenant_id AND v.campaign_id = d.campaign_id AND v.version = d.campaign_version
    WHERE i.tenant_id = $1 AND ($2::text IS NULL OR i.user_id = $2)
), taken AS (
    SELECT a.reversal_id, t.*
    FROM applied a, jsonb_to_recordset(a.incentives) AS t (incentive_id uuid, value bigint, short bigint, whole bool, was text)
), taken_of AS (
    SELECT incentive_id, sum(value) AS value, sum(value + short) AS wanted, bool_or(whole) AS whole
    FROM taken GROUP BY 1
), told AS (
    SELECT *, sum(changed_value) OVER (PARTITION BY incentive_id ORDER BY inbox_seq) AS so_far
    FROM incentive_change WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2) AND change = 'reversed'
), transfer AS (
    SELECT * FROM wallet_transfer WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id = $2)
), posted AS (
    SELECT reason AS reversal_id, source_id::uuid AS incentive_id, amount FROM transfer WHERE kind = 'reverse'
), value_limit AS (
    SELECT limit_id FROM spending_limit WHERE tenant_id = $1 AND measure = 'value' AND reward_kind = 'points'
), returned AS (
    SELECT a.reversal_id, c.* FROM applied a,
           jsonb_to_recordset(a.counters) AS c (limit_id text, user_id text, key text, window_start date, amount bigint)
), returned_by_value AS (
    SELECT reversal_id, limit_id, sum(amount) AS amount FROM returned JOIN value_limit USING (limit_id) GROUP BY 1, 2
), due_by_value AS (
    SELECT t.reversal_id, l.limit_id, sum(t.value + t.short) AS amount
    FROM taken t JOIN earned e USING (incentive_id)
    CROSS JOIN LATERAL (SELECT DISTINCT limit_id FROM jsonb_to_recordset(e.limits) AS u (limit_id text)) AS u
    JOIN value_limit l ON l.limit_id = u.limit_id
    WHERE e.give_back AND e.kind = 'points' GROUP BY 1, 2 HAVING sum(t.value + t.short) > 0
), used AS (
    SELECT limit_id, key, window_start, sum(amount) AS amount
    FROM (SELECT u.* FROM decision d, jsonb_to_recordset(d.limits) AS u (limit_id text, key text, window_start date, amount bigint)
          WHERE d.tenant_id = $1 AND d.outcome = 'granted' AND ($2::text IS NULL OR d.user_id = $2)
          UNION ALL SELECT limit_id, key, window_start, -amount FROM returned) AS each
    GROUP BY 1, 2, 3
), counted AS (
    SELECT limit_id, key, window_start, sum(c.used) AS amount FROM limit_counter c
    WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.user_id = $2) GROUP BY 1, 2, 3
), refunded AS (
    SELECT f.transfer_id, f.refund_id, f.returned, s.user_id, s.currency, s.source_id, s.amount AS spent
    FROM wallet_refund f JOIN transfer s USING (transfer_id) WHERE f.tenant_id = $1
), given_back AS (
    SELECT user_id, currency, source_id, coalesce(reason, '') AS refund_id, sum(amount) AS amount -- what a hold gives back has no id
    FROM transfer WHERE kind IN ('refund', 'release') GROUP BY 1, 2, 3, 4
)
SELECT
    (SELECT count(*) FROM earned e LEFT JOIN taken_of t USING (incentive_id)
     WHERE e.reversed_value <> coalesce(t.value, 0) OR coalesce(t.wanted, 0) > e.value
        OR coalesce(t.whole, false) <> (e.state = 'reversed') OR (e.kind = 'points' AND t.whole AND t.wanted <> e.value))
        AS "incentives unlike what reversals took of them",
    (SELECT count(*) FROM (SELECT t.* FROM taken t JOIN earned e USING (incentive_id) WHERE e.kind = 'points' AND t.value > 0) AS t
     FULL JOIN posted p USING (reversal_id, incentive_id) WHERE t.value IS DISTINCT FROM p.amount)
        AS "reversals unlike what left the wallets",
    (SELECT count(*) FROM (SELECT * FROM taken WHERE was <> 'expired') AS t FULL JOIN told USING (reversal_id, incentive_id)
     WHERE t.value IS DISTINCT FROM told.changed_value) AS "reversals unlike what users were told",
    (SELECT count(*) FROM told WHERE reversed_value <> so_far) AS "sums unlike what users were told before",
    (SELECT count(*) FROM told LEFT JOIN inbox b ON b.tenant_id = $1 AND b.user_id = told.user_id AND b.seq = told.inbox_seq
     WHERE b.kind IS DISTINCT FROM 'reversed' OR b.incentive_id <> told.incentive_id) AS "changes without an inbox entry",
    (SELECT count(*) FROM returned_by_value r FULL JOIN due_by_value d USING (reversal_id, limit_id)
     WHERE r.amount IS DISTINCT FROM d.amount) AS "limits of points unlike the incentives reversed",
    (SELECT count(*) FROM used FULL JOIN counted USING (limit_id, key, window_start)
     WHERE coalesce(used.amount, 0) <> coalesce(counted.amount, 0)) AS "limits unlike their grants and reversals",
    (SELECT count(*) FROM refunded r FULL JOIN given_back g USING (user_id, currency, source_id, refund_id)
     WHERE r.returned IS DISTINCT FROM g.amount) AS "refunds unlike their transfers",
    (SELECT count(*) FROM (SELECT FROM refunded GROUP BY transfer_id, spent HAVING sum(returned) > spent) AS x)
        AS "spends of which more came back"

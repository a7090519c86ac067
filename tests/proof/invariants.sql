-- Breaches of the invariants in the sample's ledger: every column has to be 0. Use is recounted from events and
-- incentives; what decisions say that they used is taken for I5 and for the sequence numbers only.
WITH granted AS (
    SELECT i.campaign_id, i.event_id, i.event_source, i.user_id, i.reward_index, i.kind, i.value, e.attributes ->> 'coupon' AS coupon,
           (e.occurred_at AT TIME ZONE 'UTC')::date AS day
    FROM incentive i LEFT JOIN event_met e USING (tenant_id, event_id, event_source)
    WHERE tenant_id = $1
), recount AS (
    SELECT campaign_id || '-once' AS limit_id, user_id, coupon AS key, date '1970-01-01' AS window_start, count(*) AS used
    FROM granted WHERE campaign_id LIKE 'cj-%' GROUP BY campaign_id, user_id, coupon
    UNION ALL
    SELECT 'cashback-daily', '', '', day, sum(value) FROM granted WHERE campaign_id = 'cashback' GROUP BY day
), counter AS (
    SELECT c.limit_id, c.user_id, c.key, c.window_start, c.used, l.cap
    FROM limit_counter c JOIN spending_limit l USING (tenant_id, limit_id)
    WHERE tenant_id = $1
), taken AS (
    SELECT d.decision_id, d.user_id, d.campaign_id, d.outcome, u.limit_id, u.key, u.window_start, u.version,
           u.used_before, u.amount, u.cap
    FROM decision d, jsonb_to_recordset(d.limits) AS u (
        limit_id text, key text, window_start date, version bigint, used_before bigint, amount bigint, cap bigint)
    WHERE d.tenant_id = $1
), numbered AS (
    SELECT limit_id, key, window_start, CASE WHEN limit_id = 'cashback-daily' THEN '' ELSE user_id END AS owner, version
    FROM taken WHERE outcome = 'granted'
)
SELECT
    (SELECT count(*) FROM recount FULL JOIN counter USING (limit_id, user_id, key, window_start)
     WHERE coalesce(recount.used, 0) <> coalesce(counter.used, 0)) AS "I2: counters unlike the recount from incentives",
    (SELECT count(*) FROM counter WHERE used > cap) AS "I2: counters above their cap",
    (SELECT count(*) - count(DISTINCT (campaign_id, event_id, event_source, reward_index)) FROM granted) AS "I3: incentives twice",
    (SELECT count(*) - count(DISTINCT incentive_id) FROM inbox WHERE tenant_id = $1 AND kind = 'granted') AS "I3: inbox entries twice",
    (SELECT count(*) - count(DISTINCT (limit_id, key, window_start, owner, version)) FROM numbered)
        AS "I3: sequence numbers of a counter taken twice",
    (SELECT count(*) FROM event_met e WHERE e.tenant_id = $1
     AND (e.action = 'REDEEM' OR (e.action = 'PURCHASE' AND (e.attributes ->> 'amount_cents')::bigint >= 5000))
     AND NOT EXISTS (SELECT FROM decision d WHERE d.tenant_id = $1 AND d.event_key = e.event_key
                     AND d.campaign_id <> 'three-visits')) AS "I4: events that met a rule without an outcome",
    (SELECT count(*) FROM decision d WHERE d.tenant_id = $1 AND d.reason = 'limit' AND NOT EXISTS (
        SELECT FROM taken t WHERE t.decision_id = d.decision_id AND t.used_before + t.amount > t.cap))
        AS "I5: denials by a limit with room",
    (SELECT count(*) FROM decision d
     LEFT JOIN counter c ON c.limit_id = 'cashback-daily' AND c.window_start = d.local_day
     WHERE d.tenant_id = $1 AND d.campaign_id = 'cashback' AND d.reason = 'limit' AND c.used IS DISTINCT FROM c.cap)
        AS "I5: cashback denied on a day whose budget is not spent",
    (SELECT count(*) FROM (SELECT FROM inbox WHERE tenant_id = $1 GROUP BY user_id
                           HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS gaps) AS "I7: inboxes that are not 1..n",
    (SELECT count(*) FROM incentive i FULL JOIN inbox b USING (tenant_id, incentive_id)
     WHERE tenant_id = $1 AND coalesce(b.kind, 'granted') = 'granted' AND b.seq IS DISTINCT FROM i.inbox_seq) AS "I7: incentives and inbox entries without the other"

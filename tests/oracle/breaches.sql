-- Breaches of the invariants in one tenant's ledger, each recounted from events and incentives: every column has to be 0.
-- What covers attributes by levels is none of these. Keys of limits are recounted where they are an attribute of the event, as it is or in upper case.
WITH granted AS (
    SELECT d.decision_id, d.campaign_id, coalesce(m.merged_into, d.user_id) AS user_id, e.attributes,
           CASE e.action WHEN 'fillip.grant' THEN coalesce(v.definition ->> 'action', 'fillip.redemption') ELSE e.action END AS action,
           i.kind, i.currency,
           i.value - CASE WHEN g.back THEN i.reversed_value ELSE 0 END AS value,
           g.back AND i.state = 'reversed' AS gone, bool_and(g.back AND i.state = 'reversed') OVER (PARTITION BY i.decision_id) AS all_gone,
           v.definition -> 'rewards' -> i.reward_index ->> 'pool' AS pool, e.occurred_at, t.time_zone, d.limits
    FROM incentive i
    JOIN decision d USING (tenant_id, decision_id)
    JOIN campaign_version v ON v.tenant_id = d.tenant_id AND v.campaign_id = d.campaign_id AND v.version = d.campaign_version
    CROSS JOIN LATERAL (SELECT coalesce((v.definition ->> 'give_back')::bool, true) AS back) g
    JOIN event_met e ON e.tenant_id = d.tenant_id AND e.event_key = d.event_key
    JOIN tenant t ON t.tenant_id = d.tenant_id
    LEFT JOIN user_merge m ON m.tenant_id = d.tenant_id AND m.user_id = d.user_id
    WHERE i.tenant_id = %(tenant)s
), subject AS (
    SELECT l.limit_id, CASE WHEN l.pool IS NULL THEN l.measure ELSE 'codes' END AS measure, g.decision_id, g.value, g.gone, g.all_gone,
           CASE WHEN l.scope IN ('user', 'user_in_campaign') THEN g.user_id ELSE '' END AS user_id,
           CASE WHEN l.key ~ '^event\.\w+\.upperAscii\(\)$' THEN upper(g.attributes ->> substring(l.key FROM '^event\.(\w+)'))
                ELSE coalesce(g.attributes ->> substring(l.key FROM '^event\.(\w+)$'), '') END AS key,
           CASE WHEN l.span IN ('rolling', 'lifetime') THEN date '1970-01-01'
                WHEN l.week_starts_on = 'sunday' THEN date_trunc('week', local.at + interval '1 day')::date - 1
                ELSE date_trunc(l.span, local.at)::date END AS day
    FROM spending_limit l
    JOIN granted g ON (l.campaign_id IS NULL OR l.campaign_id = g.campaign_id) AND (l.action IS NULL OR l.action = g.action)
                  AND (l.reward_kind IS NULL OR l.reward_kind = g.kind)
                  AND (l.currency IS NULL OR l.currency = g.currency) AND (l.pool IS NULL OR l.pool = g.pool)
    CROSS JOIN LATERAL (SELECT g.occurred_at AT TIME ZONE coalesce(
        (SELECT u ->> 'time_zone' FROM jsonb_array_elements(g.limits) AS u WHERE l.zone = 'user' AND u ->> 'limit_id' = l.limit_id),
        g.time_zone) AS at) AS local
    WHERE l.tenant_id = %(tenant)s
), recount AS (
    SELECT limit_id, user_id, key, day,
           CASE measure WHEN 'count' THEN count(DISTINCT decision_id) FILTER (WHERE NOT gone) WHEN 'codes' THEN count(*) FILTER (WHERE NOT all_gone)
                        ELSE sum(value) END AS used
    FROM subject GROUP BY limit_id, measure, user_id, key, day
), counter AS (
    SELECT limit_id, user_id, key, window_start AS day, used FROM limit_counter WHERE tenant_id = %(tenant)s
), taken AS (
    SELECT d.decision_id, d.outcome, d.reason, u.*, CASE WHEN l.scope IN ('user', 'user_in_campaign') THEN d.user_id END AS owner
    FROM decision d, jsonb_to_recordset(d.limits) AS u (
        limit_id text, key text, window_start date, version bigint, used_before bigint, amount bigint, cap bigint),
         spending_limit l
    WHERE d.tenant_id = %(tenant)s AND l.tenant_id = d.tenant_id AND l.limit_id = u.limit_id
), moved AS (
    SELECT limit_id, key, window_start, coalesce(owner, '') AS owner, version FROM taken WHERE outcome = 'granted'
    UNION ALL
    SELECT u.limit_id, u.key, u.window_start, u.user_id, u.version
    FROM reversal r, jsonb_to_recordset(r.counters) AS u (limit_id text, user_id text, key text, window_start date, version bigint)
    WHERE r.tenant_id = %(tenant)s
)
SELECT
    (SELECT count(*) FROM recount FULL JOIN counter USING (limit_id, user_id, key, day)
     WHERE coalesce(recount.used, 0) <> coalesce(counter.used, 0)) AS "I2: counters unlike the recount",
    (SELECT count(*) FROM taken WHERE outcome = 'granted' AND used_before + amount > cap) AS "I2: grants above a cap",
    (SELECT count(*) - count(DISTINCT (limit_id, key, window_start, owner, version)) FROM moved)
        AS "I3: sequence numbers of a counter taken twice",
    (SELECT count(*) - count(DISTINCT incentive_id) FROM inbox WHERE tenant_id = %(tenant)s AND kind = 'granted')
        AS "I3: inbox entries twice",
    (SELECT count(*) FROM decision d WHERE d.tenant_id = %(tenant)s AND d.reason = 'limit' AND NOT EXISTS (
        SELECT FROM taken t WHERE t.decision_id = d.decision_id AND t.used_before + t.amount > t.cap))
        AS "I5: denials by a limit with room",
    (SELECT count(*) FROM (SELECT FROM inbox WHERE tenant_id = %(tenant)s GROUP BY user_id
                           HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS gaps) AS "I7: inboxes that are not 1..n",
    (SELECT count(*) FROM (SELECT incentive_id, inbox_seq FROM incentive WHERE tenant_id = %(tenant)s) i
     FULL JOIN (SELECT incentive_id, seq FROM inbox WHERE tenant_id = %(tenant)s AND kind = 'granted') b USING (incentive_id)
     WHERE b.seq IS DISTINCT FROM i.inbox_seq) AS "I7: incentives and inbox entries without the other",
    (SELECT count(*) FROM decision d JOIN end_user u USING (tenant_id, user_id)
     WHERE d.tenant_id = %(tenant)s AND (d.user_revision > u.revision
           OR d.user_revision = u.revision AND d.user_attributes - '{level, status}'::text[] <> u.attributes - '{level, status}'::text[]
           OR d.user_revision IS NULL AND d.user_attributes IS NOT NULL))
        AS "decisions by attributes that their revision never had",
    (SELECT count(*) FROM incentive i JOIN decision d USING (tenant_id, decision_id)
     WHERE i.tenant_id = %(tenant)s AND i.variant IS DISTINCT FROM d.variant) AS "incentives of another variant than their decision"

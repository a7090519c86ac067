-- What must not be; every column is a count that has to be 0.
WITH uses AS (
    SELECT d.user_id, d.outcome, d.reason, u.limit_id, u.key, u.window_start, u.used_before, u.amount, u.cap
    FROM decision d, jsonb_to_recordset(d.limits) AS u (
        limit_id text, key text, window_start date, used_before bigint, amount bigint, cap bigint)
    WHERE d.tenant_id = $1
), moves AS (
    SELECT u.limit_id, u.key, u.window_start, CASE WHEN l.scope LIKE 'user%' THEN u.user_id ELSE '' END AS user_id,
           u.amount
    FROM uses u JOIN spending_limit l ON l.tenant_id = $1 AND l.limit_id = u.limit_id
    WHERE u.outcome = 'granted'
    UNION ALL
    SELECT g.limit_id, g.key, g.window_start, g.user_id, -g.amount
    FROM reversal r, jsonb_to_recordset(r.counters) AS g (
        limit_id text, key text, window_start date, user_id text, amount bigint)
    WHERE r.tenant_id = $1
), recount AS (
    SELECT limit_id, key, window_start, user_id, sum(amount) AS used FROM moves GROUP BY 1, 2, 3, 4
), granted AS (
    SELECT i.decision_id, count(*) AS incentives FROM incentive i WHERE i.tenant_id = $1 GROUP BY i.decision_id
)
SELECT
    (SELECT count(*) FROM limit_counter c
     FULL JOIN recount r USING (limit_id, key, window_start, user_id)
     WHERE (c.tenant_id = $1 OR c.tenant_id IS NULL) AND coalesce(c.used, 0) <> coalesce(r.used, 0)) AS miscounted,
    (SELECT count(*) FROM limit_counter c JOIN spending_limit l USING (tenant_id, limit_id)
     WHERE tenant_id = $1 AND c.used > l.cap) AS over_cap,
    (SELECT count(*) FROM decision d WHERE d.tenant_id = $1 AND d.reason = 'limit' AND NOT EXISTS (
        SELECT FROM jsonb_to_recordset(d.limits) AS u (used_before bigint, amount bigint, cap bigint)
        WHERE u.used_before + u.amount > u.cap)) AS needless,
    (SELECT count(*) FROM decision d LEFT JOIN granted g USING (decision_id)
     WHERE d.tenant_id = $1 AND (d.outcome = 'granted') <> (g.incentives IS NOT NULL)) AS unpaid,
    (SELECT count(*) FROM (
        SELECT FROM inbox WHERE tenant_id = $1 GROUP BY user_id
        HAVING min(seq) <> 1 OR max(seq) <> count(*)) gaps) AS gapped,
    (SELECT count(*) FROM incentive i LEFT JOIN inbox b USING (tenant_id, incentive_id)
     WHERE i.tenant_id = $1 AND coalesce(b.kind, 'granted') = 'granted' AND b.seq IS DISTINCT FROM i.inbox_seq) AS untold,
    (SELECT count(*) FROM rejection WHERE tenant_id = $1 OR tenant_id IS NULL) AS rejected

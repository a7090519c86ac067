-- What these users of a tenant, who are nobody else, have scored in each of some windows, with all that were merged into them. Locks nothing.
WITH part AS (
    SELECT a.user_id AS owner, a.user_id FROM unnest(%(users)s::text[]) AS a (user_id)
    UNION ALL
    SELECT m.merged_into, m.user_id FROM user_merge m WHERE m.tenant_id = %(tenant)s AND m.merged_into = ANY (%(users)s)
)
SELECT p.owner, w.number::integer - 1 AS window_at, max(i.granted_at) AS reached_at,
       CASE %(measure)s WHEN 'count' THEN count(DISTINCT i.decision_id)
           ELSE least(sum(i.value - i.reversed_value), %(most)s)::bigint END AS score
FROM part p
CROSS JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS w (starts_at, ends_at, number)
JOIN incentive i ON i.tenant_id = %(tenant)s AND i.user_id = p.user_id AND i.granted_at >= w.starts_at AND i.granted_at < w.ends_at
WHERE CASE %(measure)s WHEN 'count' THEN i.state <> 'reversed'
          ELSE i.kind = 'points' AND i.currency = %(currency)s AND i.value > i.reversed_value END
  AND (%(campaign)s::text IS NULL OR i.campaign_id = %(campaign)s)
GROUP BY 1, 2

-- What the groups of `met` did in their windows, by the tenant's events: run like a query of the tenant, `question` beside it.
WITH done AS (
    SELECT m.user_id AS user_id, try_cast(e.data ->> q.path AS double) AS value
    FROM events e JOIN question q ON e.action = q.action JOIN met m ON e.user_id = m.user_id
    WHERE e.day >= (SELECT min(met_at)::date FROM met)
      AND e.day <= (SELECT max(met_at)::date + max(window_days) + 1 FROM met, question)
      AND e.occurred_at > m.met_at AND e.occurred_at <= m.met_at + to_days(q.window_days)
), outcome AS (
    SELECT user_id, coalesce(sum(value) FILTER (WHERE abs(value) <= 1e15), 0) AS value FROM done GROUP BY user_id
)
SELECT m.place, m.variant, count(*) AS users, count(o.user_id) AS converted, avg(coalesce(o.value, 0)) AS mean,
       coalesce(var_samp(coalesce(o.value, 0)), 0) AS variance
FROM met m LEFT JOIN outcome o ON o.user_id = m.user_id GROUP BY m.place, m.variant

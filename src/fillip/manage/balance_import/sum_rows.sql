-- The staged rows, their users and their sum: by currency, and of all (NULL). Locks nothing.
SELECT currency, count(*) AS rows, count(DISTINCT user_id) AS users, sum(amount)::bigint AS amount
FROM staged_balance GROUP BY GROUPING SETS ((currency), ()) ORDER BY currency

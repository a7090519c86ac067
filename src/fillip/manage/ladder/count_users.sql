-- How many users have a level that was announced, by level, and how many there are at all, by NULL: those with a wallet of the currency who are not
-- another by now. Locks nothing.
SELECT u.level, count(*) AS users FROM user_level u WHERE u.tenant_id = :tenant_id AND u.currency = :currency GROUP BY u.level
UNION ALL
SELECT NULL, count(*) FROM wallet w
WHERE w.tenant_id = :tenant_id AND w.currency = :currency
  AND NOT EXISTS (SELECT FROM user_merge m WHERE m.tenant_id = w.tenant_id AND m.user_id = w.user_id)

-- The counters of these tenants, for the projection. Locks nothing.
-- Counters that an event may still meet: in a live tenant none of a window that ended more than a week ago. A day that
-- Python has no words for is left out: without its counter there is no hint, and the ledger decides all the same.
SELECT c.tenant_id, c.limit_id, c.user_id, c.key, c.window_start::text, c.used, c.version
FROM limit_counter c JOIN tenant t USING (tenant_id) LEFT JOIN spending_limit l USING (tenant_id, limit_id)
WHERE c.tenant_id = ANY (%(tenants)s) AND c.window_start BETWEEN '0001-01-01' AND '9999-12-31'
  AND (t.clock <> 'live' OR c.window_start = '1970-01-01'
       OR c.window_start > current_date - CASE WHEN l.span = 'year' THEN 375 ELSE 40 END)

-- Quest instances by state. Locks nothing.
SELECT state, count(*) AS instances FROM quest_instance WHERE tenant_id = $1 GROUP BY state

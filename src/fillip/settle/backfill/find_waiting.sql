-- The first $4 events that wait for a backfill, without those that run $3 could not decide. Locks nothing: they are its process's alone.
SELECT number, event_key FROM backfill_waiting
WHERE tenant_id = $1 AND campaign_id = $2 AND run < $3
ORDER BY number LIMIT $4

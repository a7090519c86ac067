-- A backfill as its process must find it: held by run $3, $4 events done. Locks its row, where a batch has its offsets.
SELECT result::text AS result FROM backfill
WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3 AND events_done = $4 AND state = 'running'
FOR UPDATE

-- A backfill, if it is held by run $3. Locks nothing.
SELECT ends::text AS ends, until_at, events_done, mark_received_at, mark_partition, mark_offset FROM backfill
WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3 AND state = 'running'

-- How many events there are in all. Locks the backfill.
UPDATE backfill SET events = $4 WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3

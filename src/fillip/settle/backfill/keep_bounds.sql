-- Up to where the past of a launch goes, found once and kept for every run. Locks the backfill.
UPDATE backfill SET ends = $4::jsonb, until_at = clock_timestamp()
WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3 AND ends IS NULL

-- Stores what a backfill came to with events that have waited; with $5, workers decide from now on. Its row is locked.
UPDATE backfill
SET result = $4::jsonb, tries = 0, handed_over_at = CASE WHEN $5 THEN coalesce(handed_over_at, clock_timestamp()) ELSE handed_over_at END
WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3

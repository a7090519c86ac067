-- The campaigns whose events wait until their backfill is behind the past. Locks nothing.
SELECT campaign_id FROM backfill WHERE tenant_id = $1 AND handed_over_at IS NULL

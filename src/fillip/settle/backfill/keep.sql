-- Moves a backfill on by some events, and stores what it came to. Its row is locked.
UPDATE backfill
SET events_done = $4, mark_received_at = $5, mark_partition = $6, mark_offset = $7, result = $8::jsonb, tries = 0
WHERE tenant_id = $1 AND campaign_id = $2 AND run_id = $3

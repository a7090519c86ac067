-- These events go on waiting, for a run behind run $3, which could not decide them. Locks their rows.
UPDATE backfill_waiting SET run = $3 WHERE tenant_id = $1 AND campaign_id = $2 AND event_key = ANY ($4::uuid[])

-- These events wait no more. Locks their rows.
DELETE FROM backfill_waiting WHERE tenant_id = $1 AND campaign_id = $2 AND event_key = ANY ($3::uuid[])

-- Notes that these events are decided by a campaign now; which were not before. Locks the rows that it makes.
INSERT INTO backfill_event (tenant_id, campaign_id, event_key, run)
SELECT $1, $2, k.event_key, $3 FROM unnest($4::uuid[]) AS k (event_key)
ON CONFLICT DO NOTHING
RETURNING event_key

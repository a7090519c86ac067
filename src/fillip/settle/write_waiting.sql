-- Events that wait for the backfill of a campaign, numbered in the order in which they come. Locks the rows it makes.
INSERT INTO backfill_waiting (tenant_id, campaign_id, event_key)
SELECT w.tenant_id, w.campaign_id, w.event_key
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS w (tenant_id, campaign_id, event_key, place)
ORDER BY w.place

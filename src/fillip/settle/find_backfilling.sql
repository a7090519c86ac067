-- Of these campaigns, those whose events wait for their backfill. Locks nothing: who hands one over has the tenant's limits alone.
SELECT b.tenant_id, b.campaign_id
FROM unnest($1::text[], $2::text[]) AS asked (tenant_id, campaign_id)
JOIN backfill b USING (tenant_id, campaign_id)
WHERE b.handed_over_at IS NULL

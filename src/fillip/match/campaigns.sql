-- The campaigns of a tenant's book: drafts and archived ones can't be met. Locks nothing.
SELECT campaign_id, version, state FROM campaign
WHERE tenant_id = $1 AND state NOT IN ('draft', 'archived')
ORDER BY campaign_id

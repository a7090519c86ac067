-- The quest of a campaign at one version; versions never change. Locks nothing.
SELECT (v.definition -> 'quest')::text FROM campaign_version v
WHERE v.tenant_id = $1 AND v.campaign_id = $2 AND v.version = $3

-- All versions of a campaign. Locks nothing.
SELECT version, definition::text AS definition, checked::text AS checked FROM campaign_version
WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY version

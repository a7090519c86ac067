-- Earlier versions of campaigns, by two arrays side by side. Locks nothing.
SELECT campaign_id, version, CAST(definition AS text) AS definition, CAST(checked AS text) AS checked
FROM unnest(CAST(:campaign_ids AS text[]), CAST(:versions AS integer[])) AS asked (campaign_id, version)
JOIN campaign_version v USING (campaign_id, version) WHERE v.tenant_id = :tenant_id
ORDER BY campaign_id, version

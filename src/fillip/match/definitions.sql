SELECT c.campaign_id, c.version, c.state, v.definition::text AS definition, v.checked::text AS checked
FROM campaign c JOIN campaign_version v USING (tenant_id, campaign_id, version)
WHERE c.tenant_id = $1 AND c.campaign_id = ANY ($2::text[])

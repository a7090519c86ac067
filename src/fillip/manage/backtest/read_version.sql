-- A version of a campaign. Locks nothing.
SELECT c.state, v.definition::text AS definition, v.checked::text AS checked
FROM campaign_version v JOIN campaign c USING (tenant_id, campaign_id)
WHERE v.tenant_id = $1 AND v.campaign_id = $2 AND v.version = $3

-- Of each campaign the version in force and, before it, those that open instances are kept under. Locks nothing.
SELECT c.campaign_id, v.version, c.state, v.definition::text AS definition, v.checked::text AS checked
FROM campaign c
JOIN campaign_version v
  ON v.tenant_id = c.tenant_id AND v.campaign_id = c.campaign_id AND (v.version = c.version OR v.version = ANY (c.kept))
WHERE c.tenant_id = $1 AND c.campaign_id = ANY ($2::text[])
ORDER BY c.campaign_id, v.version

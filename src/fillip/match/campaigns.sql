-- Drafts and archived campaigns can't be met, so they are not in the book.
SELECT c.campaign_id, c.version, c.state, v.definition::text AS definition, v.checked::text AS checked
FROM campaign c JOIN campaign_version v USING (tenant_id, campaign_id, version)
WHERE c.tenant_id = $1 AND c.state NOT IN ('draft', 'archived')
ORDER BY c.campaign_id

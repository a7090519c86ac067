-- Drafts and archived campaigns can't be met, so they are not in the book.
SELECT campaign_id, version, state FROM campaign
WHERE tenant_id = $1 AND state NOT IN ('draft', 'archived')
ORDER BY campaign_id

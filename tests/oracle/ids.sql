-- What each id of a tenant is of: decisions (those made in shadow are of that version), then incentives.
SELECT d.decision_id::text, ARRAY['decision', d.tenant_id, d.campaign_id || CASE WHEN d.shadow THEN '~' || d.campaign_version ELSE '' END, d.instance, d.event_source, d.event_id]
FROM decision d WHERE d.tenant_id = %(tenant)s
UNION ALL
SELECT i.incentive_id::text, ARRAY['incentive', replace(i.decision_id::text, '-', ''), i.reward_index::text]
FROM incentive i WHERE i.tenant_id = %(tenant)s

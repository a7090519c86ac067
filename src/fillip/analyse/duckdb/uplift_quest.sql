-- Whether a campaign has decided for instances of a quest.
SELECT coalesce(bool_or(of_quest), false) FROM decision_fact 
WHERE tenant_id = $tenant_id AND campaign_id = $campaign_id AND NOT coalesce(shadow, false)

-- All quest instances as they stand, but for those of campaigns in shadow, as in the publication. Locks nothing.
SELECT * FROM quest_instance WHERE position('~' IN campaign_id) = 0
ORDER BY tenant_id, campaign_id, user_id, instance_key, occurrence

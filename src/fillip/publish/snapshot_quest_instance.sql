-- All quest instances as they stand. Locks nothing.
SELECT * FROM quest_instance ORDER BY tenant_id, campaign_id, user_id, instance_key, occurrence

-- What was known of the user when a tenant's events were decided, but for what quests completed: of rules that ask for something of the user.
SELECT campaign_id, instance, event_source || ' ' || event_id, user_attributes FROM decision
WHERE tenant_id = %(tenant)s AND instance = '' AND user_attributes IS NOT NULL

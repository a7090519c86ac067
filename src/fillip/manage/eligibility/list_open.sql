-- A user's open instances of all quests, the 1,000 that began last. Locks nothing.
SELECT i.campaign_id, i.instance_key, i.occurrence, i.campaign_version, i.state, i.started_at, i.ends_at, i.start_event_key,
       i.start_event_id, i.start_event_source, i.start_offset, i.steps::text AS steps, i.start_attributes::text AS start_attributes,
       i.completed_by, i.route
FROM quest_instance i
WHERE i.tenant_id = $1 AND i.user_id = $2 AND i.state = 'open'
ORDER BY i.started_at DESC LIMIT 1000

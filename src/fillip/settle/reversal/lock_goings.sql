-- Locks the quest instances that stand and that these events opened or gave to, each with the version of the quest that
-- it is at.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[]) AS a (tenant_id, event_id)
), touched AS MATERIALIZED (
    SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence
    FROM asked JOIN quest_step_met m USING (tenant_id, event_id)
    UNION
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM asked JOIN quest_instance i ON i.tenant_id = asked.tenant_id AND i.start_event_id = asked.event_id
)
SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence, i.campaign_version, i.state, i.started_at,
       i.ends_at, i.start_event_id, i.start_offset, i.steps::text AS steps,
       i.start_attributes::text AS start_attributes, i.completed_by, (v.definition -> 'quest')::text AS quest
FROM touched
JOIN quest_instance i USING (tenant_id, campaign_id, user_id, instance_key, occurrence)
JOIN campaign_version v
  ON v.tenant_id = i.tenant_id AND v.campaign_id = i.campaign_id AND v.version = i.campaign_version
WHERE i.state <> 'reversed'
ORDER BY i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
FOR UPDATE OF i

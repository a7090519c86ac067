-- Locks the quest instances that stand and that these events opened or gave to, each with the version of the quest that
-- it is at; none of a campaign in shadow, whose are named id~version. They are named in sorted order, so locked in it.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::uuid[]) AS a (tenant_id, event_key)
), touched AS MATERIALIZED (
    SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM quest_step_met g WHERE g.tenant_id = asked.tenant_id AND g.event_key = asked.event_key
          AND position('~' IN g.campaign_id) = 0 OFFSET 0
    ) m
    UNION
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM quest_instance q WHERE q.tenant_id = asked.tenant_id AND q.start_event_key = asked.event_key
          AND position('~' IN q.campaign_id) = 0 OFFSET 0
    ) i
    ORDER BY 1, 2, 3, 4, 5
), locked AS MATERIALIZED (
    SELECT i.*
    FROM touched t CROSS JOIN LATERAL (
        SELECT * FROM quest_instance q
        WHERE q.tenant_id = t.tenant_id AND q.campaign_id = t.campaign_id AND q.user_id = t.user_id
          AND q.instance_key = t.instance_key AND q.occurrence = t.occurrence AND q.state <> 'reversed'
        FOR UPDATE
    ) i
)
SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence, i.campaign_version, i.state, i.started_at,
       i.ends_at, i.start_event_key, i.start_event_id, i.start_event_source, i.start_offset, i.steps::text AS steps,
       i.start_attributes::text AS start_attributes, i.completed_by, i.route, (v.definition -> 'quest')::text AS quest
FROM locked i
JOIN campaign_version v
  ON v.tenant_id = i.tenant_id AND v.campaign_id = i.campaign_id AND v.version = i.campaign_version

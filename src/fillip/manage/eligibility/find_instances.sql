-- Of a user's quests ($3) the instances that are open, or lapsed and end at $4 or later, or the newest of their key: at most 1,000 of each
-- quest, in order of start. Locks nothing.
SELECT i.*
FROM unnest($3::text[]) AS asked (campaign_id)
CROSS JOIN LATERAL (
    SELECT i.campaign_id, i.instance_key, i.occurrence, i.campaign_version, i.state, i.started_at, i.ends_at, i.start_event_key,
           i.start_event_id, i.start_event_source, i.start_offset, i.steps::text AS steps, i.start_attributes::text AS start_attributes,
           i.completed_by, i.route
    FROM quest_instance i
    WHERE i.tenant_id = $1 AND i.user_id = $2 AND i.campaign_id = asked.campaign_id
      AND (i.state = 'open' OR (i.state = 'lapsed' AND i.ends_at >= $4::timestamptz) OR NOT EXISTS (
        SELECT FROM quest_instance n
        WHERE n.tenant_id = i.tenant_id AND n.campaign_id = i.campaign_id AND n.user_id = i.user_id
          AND n.instance_key = i.instance_key AND n.occurrence > i.occurrence
      ))
    ORDER BY i.start_offset LIMIT 1000
) i

-- The quest instances of users that these events began or counted for, $4 of an event at most; none in shadow. Locks nothing.
SELECT e.number, q.campaign_id, q.campaign_version, q.instance_key, q.occurrence, q.state, q.started_at, q.ends_at, q.steps, q.revision
FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS e (tenant_id, event_key, user_id, number)
CROSS JOIN LATERAL (
    SELECT campaign_id, instance_key, occurrence
    FROM (SELECT * FROM quest_step_met g WHERE g.tenant_id = e.tenant_id AND g.event_key = e.event_key OFFSET 0) m
    WHERE m.user_id = e.user_id AND position('~' IN m.campaign_id) = 0
    UNION
    SELECT campaign_id, instance_key, occurrence
    FROM (SELECT * FROM quest_instance g WHERE g.tenant_id = e.tenant_id AND g.start_event_key = e.event_key OFFSET 0) s
    WHERE s.user_id = e.user_id AND position('~' IN s.campaign_id) = 0
    ORDER BY 1, 2, 3 LIMIT $4
) i
CROSS JOIN LATERAL (
    SELECT * FROM quest_instance g
    WHERE g.tenant_id = e.tenant_id AND g.campaign_id = i.campaign_id AND g.user_id = e.user_id
      AND g.instance_key = i.instance_key AND g.occurrence = i.occurrence
    OFFSET 0
) q
ORDER BY e.number, q.campaign_id, q.instance_key, q.occurrence

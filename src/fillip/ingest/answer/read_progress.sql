-- The quest instances of users that these events began or counted for, $4 of an event at most; none in shadow. Locks nothing.
SELECT e.number, q.campaign_id, q.campaign_version, q.instance_key, q.occurrence, q.state, q.started_at, q.ends_at, q.steps, q.revision
FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS e (tenant_id, event_key, user_id, number)
CROSS JOIN LATERAL (
    SELECT campaign_id, instance_key, occurrence FROM quest_step_met m
    WHERE m.tenant_id = e.tenant_id AND m.event_key = e.event_key AND m.user_id = e.user_id
    UNION
    SELECT campaign_id, instance_key, occurrence FROM quest_instance s
    WHERE s.tenant_id = e.tenant_id AND s.start_event_key = e.event_key AND s.user_id = e.user_id
    ORDER BY 1, 2, 3 LIMIT $4
) i
JOIN quest_instance q ON q.tenant_id = e.tenant_id AND q.campaign_id = i.campaign_id AND q.user_id = e.user_id
                         AND q.instance_key = i.instance_key AND q.occurrence = i.occurrence
WHERE position('~' IN q.campaign_id) = 0
ORDER BY e.number, q.campaign_id, q.instance_key, q.occurrence

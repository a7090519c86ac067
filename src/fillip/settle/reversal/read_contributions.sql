-- What these events gave to steps of quest instances. Locks nothing: the instances are locked.
SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence, m.step, m.event_key, m.amount, m.day,
       m.reversed, m.value
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT * FROM quest_step_met g WHERE g.tenant_id = asked.tenant_id AND g.event_key = asked.event_key OFFSET 0
) m
ORDER BY m.sequence

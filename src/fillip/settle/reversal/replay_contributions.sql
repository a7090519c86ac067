-- All that events gave to some steps of one instance, in the order in which they did. Locks nothing: it is locked.
SELECT m.step, m.event_key, m.amount, m.day, m.reversed, m.value
FROM quest_step_met m
WHERE m.tenant_id = $1 AND m.campaign_id = $2 AND m.user_id = $3 AND m.instance_key = $4 AND m.occurrence = $5
  AND m.step = ANY ($6::text[])
ORDER BY m.sequence

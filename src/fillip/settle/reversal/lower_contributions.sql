-- What is reversed of contributions by now. Their instances are locked already.
UPDATE quest_step_met m SET reversed = l.reversed
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::uuid[], $8::bigint[])
  AS l (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_key, reversed)
WHERE m.tenant_id = l.tenant_id AND m.campaign_id = l.campaign_id AND m.user_id = l.user_id
  AND m.instance_key = l.instance_key AND m.occurrence = l.occurrence AND m.step = l.step AND m.event_key = l.event_key

DELETE FROM quest_step_met m
USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[])
  AS gone (tenant_id, campaign_id, user_id, instance_key, occurrence, event_id)
WHERE m.tenant_id = gone.tenant_id AND m.campaign_id = gone.campaign_id AND m.user_id = gone.user_id
  AND m.instance_key = gone.instance_key AND m.occurrence = gone.occurrence AND m.event_id = gone.event_id

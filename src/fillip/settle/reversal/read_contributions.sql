SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence, m.step, m.event_id, m.amount,
       m.day, m.reversed
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[])
  AS asked (tenant_id, campaign_id, user_id, instance_key, occurrence)
JOIN quest_step_met m USING (tenant_id, campaign_id, user_id, instance_key, occurrence)
ORDER BY m.sequence

-- Instances that moved, and what events gave to their steps.
WITH moved AS (
    INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
                                started_at, ends_at, start_event_id, start_offset, completed_by, steps,
                                start_attributes)
    SELECT q.tenant_id, q.campaign_id, q.user_id, q.instance_key, q.occurrence, q.campaign_version, q.state,
           q.started_at, q.ends_at, q.start_event_id, q.start_offset, q.completed_by, q.steps::jsonb,
           q.start_attributes::jsonb
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[], $8::timestamptz[],
                $9::timestamptz[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])
      AS q (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, ends_at,
            start_event_id, start_offset, completed_by, steps, start_attributes)
    ON CONFLICT (tenant_id, campaign_id, user_id, instance_key, occurrence) DO UPDATE
    SET campaign_version = excluded.campaign_version, state = excluded.state, steps = excluded.steps,
        completed_by = excluded.completed_by, revision = quest_instance.revision + 1, updated_at = clock_timestamp()
)
INSERT INTO quest_step_met (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_id, amount, day)
SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence, m.step, m.event_id, m.amount, m.day
FROM unnest($15::text[], $16::text[], $17::text[], $18::text[], $19::int[], $20::text[], $21::text[], $22::bigint[],
            $23::date[]) WITH ORDINALITY
  AS m (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_id, amount, day, place)
ORDER BY m.place

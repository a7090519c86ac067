-- Instances that moved, locked already, and what events gave to their steps. `fresh` instances are those that were missing under the lock:
-- where another writer made one meanwhile it is not written, the count comes out short, and the batch is tried again.
WITH moved AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[], $8::timestamptz[],
                $9::timestamptz[], $10::uuid[], $11::text[], $12::text[], $13::bigint[], $14::uuid[], $15::bigint[],
                $16::text[], $17::text[], $18::bool[])
      AS q (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, ends_at,
            start_event_key, start_event_id, start_event_source, start_offset, completed_by, route, steps, start_attributes,
            fresh)
), changed AS (
    UPDATE quest_instance i
    SET campaign_version = m.campaign_version, state = m.state, steps = m.steps::jsonb, route = m.route,
        completed_by = m.completed_by, revision = i.revision + 1, updated_at = clock_timestamp()
    FROM moved m
    WHERE NOT m.fresh AND i.tenant_id = m.tenant_id AND i.campaign_id = m.campaign_id AND i.user_id = m.user_id
      AND i.instance_key = m.instance_key AND i.occurrence = m.occurrence
    RETURNING 1
), made AS (
    INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
                                started_at, ends_at, start_event_key, start_event_id, start_event_source, start_offset,
                                completed_by, route, steps, start_attributes)
    SELECT tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, ends_at,
           start_event_key, start_event_id, start_event_source, start_offset, completed_by,
           route, steps::jsonb, start_attributes::jsonb
    FROM moved WHERE fresh
    ON CONFLICT DO NOTHING
    RETURNING 1
), counted AS (
    INSERT INTO quest_step_met (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_key, amount, day,
                                value)
    SELECT m.tenant_id, m.campaign_id, m.user_id, m.instance_key, m.occurrence, m.step, m.event_key, m.amount, m.day,
           m.value
    FROM unnest($19::text[], $20::text[], $21::text[], $22::text[], $23::int[], $24::text[], $25::uuid[], $26::bigint[],
                $27::date[], $28::text[]) WITH ORDINALITY
      AS m (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_key, amount, day, value, place)
    ORDER BY m.place
)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made)

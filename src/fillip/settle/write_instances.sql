INSERT INTO quest_instance (tenant_id, campaign_id, user_id, occurrence, campaign_version, state, started_at, ends_at,
                            start_event_id, step, counts)
SELECT q.tenant_id, q.campaign_id, q.user_id, q.occurrence, q.campaign_version, q.state, q.started_at, q.ends_at,
       q.start_event_id, q.step, string_to_array(q.counts, ',')::int[]
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::int[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::int[], $11::text[])
  AS q (tenant_id, campaign_id, user_id, occurrence, campaign_version, state, started_at, ends_at, start_event_id,
        step, counts)
ON CONFLICT (tenant_id, campaign_id, user_id, occurrence) DO UPDATE
SET state = excluded.state, step = excluded.step, counts = excluded.counts, updated_at = clock_timestamp()

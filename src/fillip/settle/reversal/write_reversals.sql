-- What reversals did: themselves, the lines that they took pieces of, the incentives, and badges off the shelves. All rows
-- but the reversals are locked already, lines by their originals, shelves by the inbox heads.
WITH noted AS (
    INSERT INTO reversal (tenant_id, reversal_key, reversal_id, reversal_source, event_key, event_id, event_source, user_id,
                          request, state, reason, incentives, counters, quests, share, reevaluations, occurred_at, received_at, decided_at)
    SELECT r.tenant_id, r.reversal_key, r.reversal_id, r.reversal_source, r.event_key, r.event_id, r.event_source, r.user_id,
           r.request::jsonb, r.state, r.reason, r.incentives::jsonb,
           r.counters::jsonb, r.quests::jsonb, r.share, r.reevaluations::jsonb, r.occurred_at, r.received_at,
           CASE WHEN r.state <> 'waiting' THEN clock_timestamp() END
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                $16::text[], $17::timestamptz[], $18::timestamptz[]) WITH ORDINALITY
      AS r (tenant_id, reversal_key, reversal_id, reversal_source, event_key, event_id, event_source, user_id, request,
            state, reason, incentives, counters, quests, share, reevaluations, occurred_at, received_at, place)
    ORDER BY r.place
    ON CONFLICT (tenant_id, reversal_key) DO UPDATE
    SET number = DEFAULT, state = excluded.state, reason = excluded.reason, incentives = excluded.incentives,
        counters = excluded.counters, quests = excluded.quests, share = excluded.share, reevaluations = excluded.reevaluations,
        decided_at = excluded.decided_at
    WHERE reversal.state = 'waiting'
), lines AS (
    INSERT INTO reversed_line (tenant_id, event_key, line, share, whole)
    SELECT * FROM unnest($19::text[], $20::uuid[], $21::text[], $22::text[], $23::text[])
    ON CONFLICT (tenant_id, event_key, line) DO UPDATE SET share = excluded.share, whole = excluded.whole
), taken AS (
    UPDATE incentive i SET reversed_value = i.reversed_value + t.value, state = t.state
    FROM unnest($24::text[], $25::uuid[], $26::bigint[], $27::text[])
      AS t (tenant_id, incentive_id, value, state)
    WHERE i.tenant_id = t.tenant_id AND i.incentive_id = t.incentive_id
    RETURNING i.tenant_id, i.user_id, i.incentive_id, i.kind, i.state
)
DELETE FROM badge_held b USING taken t
WHERE t.kind = 'badge' AND t.state = 'reversed' AND b.tenant_id = t.tenant_id AND b.incentive_id = t.incentive_id
  AND b.user_id = coalesce((SELECT u.merged_into FROM user_merge u WHERE u.tenant_id = t.tenant_id AND u.user_id = t.user_id), t.user_id)

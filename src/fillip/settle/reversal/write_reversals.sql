-- What reversals did: themselves, the incentives, badges off the shelves, and the counters. All rows
-- but the reversals are locked already, shelves by the inbox heads.
WITH noted AS (
    INSERT INTO reversal (tenant_id, reversal_id, event_id, user_id, request, state, reason, incentives, counters, quests,
                          occurred_at, received_at, decided_at)
    SELECT r.tenant_id, r.reversal_id, r.event_id, r.user_id, r.request::jsonb, r.state, r.reason, r.incentives::jsonb,
           r.counters::jsonb, r.quests::jsonb, r.occurred_at, r.received_at,
           CASE WHEN r.state <> 'waiting' THEN clock_timestamp() END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[]) WITH ORDINALITY
      AS r (tenant_id, reversal_id, event_id, user_id, request, state, reason, incentives, counters, quests, occurred_at,
            received_at, place)
    ORDER BY r.place
    ON CONFLICT (tenant_id, reversal_id) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, incentives = excluded.incentives,
        counters = excluded.counters, quests = excluded.quests, decided_at = excluded.decided_at
    WHERE reversal.state = 'waiting'
), taken AS (
    UPDATE incentive i SET reversed_value = i.reversed_value + t.value, state = t.state
    FROM unnest($13::text[], $14::uuid[], $15::bigint[], $16::text[])
      AS t (tenant_id, incentive_id, value, state)
    WHERE i.tenant_id = t.tenant_id AND i.incentive_id = t.incentive_id
    RETURNING i.tenant_id, i.user_id, i.incentive_id, i.kind, i.state
), unshelved AS (
    DELETE FROM badge_held b USING taken t
    WHERE t.kind = 'badge' AND t.state = 'reversed'
      AND b.tenant_id = t.tenant_id AND b.user_id = t.user_id AND b.incentive_id = t.incentive_id
)
UPDATE limit_counter c SET used = m.used, version = m.version, cap = greatest(m.cap, m.used)
FROM unnest($17::text[], $18::text[], $19::text[], $20::text[], $21::date[], $22::bigint[], $23::bigint[], $24::bigint[])
  AS m (tenant_id, limit_id, user_id, key, window_start, used, version, cap)
WHERE c.tenant_id = m.tenant_id AND c.limit_id = m.limit_id AND c.user_id = m.user_id AND c.key = m.key
  AND c.window_start = m.window_start

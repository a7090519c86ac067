-- What reversals did: themselves, the lines that they took pieces of, the incentives, and badges off the shelves: where an id that was merged
-- into the user has earned the same, that takes its place. All rows but the reversals are locked already, lines by their originals, shelves
-- by the inbox heads.
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
), badges AS (
    SELECT t.tenant_id, t.incentive_id, coalesce(m.merged_into, t.user_id) AS user_id
    FROM taken t LEFT JOIN user_merge m ON m.tenant_id = t.tenant_id AND m.user_id = t.user_id
    WHERE t.kind = 'badge' AND t.state = 'reversed'
), shelves AS (
    SELECT b.tenant_id, b.incentive_id, b.user_id AS held_by FROM badges b
    UNION ALL
    SELECT b.tenant_id, b.incentive_id, u.user_id
    FROM badges b JOIN user_merge u ON u.tenant_id = b.tenant_id AND u.merged_into = b.user_id
), gone AS (
    DELETE FROM badge_held h USING shelves s
    WHERE h.tenant_id = s.tenant_id AND h.user_id = s.held_by AND h.incentive_id = s.incentive_id
    RETURNING h.tenant_id, h.user_id, h.badge_id
)
UPDATE badge_held h SET user_id = g.user_id
FROM gone g
CROSS JOIN LATERAL (
    SELECT o.user_id FROM user_merge u JOIN badge_held o ON o.tenant_id = u.tenant_id AND o.user_id = u.user_id AND o.badge_id = g.badge_id
    WHERE u.tenant_id = g.tenant_id AND u.merged_into = g.user_id AND o.incentive_id NOT IN (SELECT b.incentive_id FROM badges b)
    ORDER BY o.held_at, o.user_id LIMIT 1
) other
WHERE h.tenant_id = g.tenant_id AND h.user_id = other.user_id AND h.badge_id = g.badge_id

-- All that a batch decided, in one round trip: decisions, incentives with their inbox entries, inbox heads, counters.
-- Heads and counters are locked already, the others are new.
-- `fresh` heads and counters are those that were missing under the lock. Where another writer made one meanwhile it is
-- not written, a count comes out short, and the batch is tried again.
WITH decided AS (
    INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id,
                          instance, outcome, reason, outranked_by, occurred_at, local_day, reward_values, limits, book_version, user_attributes, cohorts,
                          partition, log_offset, decided_at, user_revision, variant, shadow)
    SELECT d.tenant_id, d.decision_id, d.campaign_id, d.campaign_version, d.event_key, d.event_id, d.event_source, d.user_id,
           d.instance, d.outcome, d.reason, d.outranked_by, d.occurred_at, d.local_day, d.reward_values::jsonb, d.limits::jsonb, d.book_version,
           d.user_attributes::jsonb, d.cohorts::jsonb, d.partition, d.log_offset, d.decided_at, d.user_revision, d.variant, d.shadow
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::date[], $15::text[], $16::text[], $17::bigint[],
                $18::text[], $19::text[], $20::int[], $21::bigint[], $22::timestamptz[], $23::bigint[], $24::text[], $25::bool[])
      AS d (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, instance, outcome, reason,
            outranked_by, occurred_at, local_day, reward_values, limits, book_version, user_attributes, cohorts, partition, log_offset,
            decided_at, user_revision, variant, shadow)
), made AS (
    INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
                           kind, value, currency, payload, state, inbox_seq, occurred_at, received_at, taken_at, granted_at,
                           coupon_code, expires_at, variant)
    SELECT i.tenant_id, i.incentive_id, i.decision_id, i.campaign_id, i.user_id, i.event_id, i.event_source, i.reward_index,
           i.kind, i.value, i.currency, i.payload::jsonb, 'granted', i.inbox_seq, i.occurred_at, i.received_at, i.taken_at,
           i.granted_at, i.coupon_code, i.expires_at, i.variant
    FROM unnest($26::text[], $27::uuid[], $28::uuid[], $29::text[], $30::text[], $31::text[], $32::text[], $33::int[], $34::text[],
                $35::bigint[], $36::text[], $37::text[], $38::bigint[], $39::timestamptz[], $40::timestamptz[],
                $41::timestamptz[], $42::timestamptz[], $43::text[], $44::timestamptz[], $45::text[])
      AS i (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index, kind, value,
            currency, payload, inbox_seq, occurred_at, received_at, taken_at, granted_at, coupon_code, expires_at, variant)
    RETURNING tenant_id, user_id, inbox_seq, incentive_id
), listed AS (
    INSERT INTO inbox (tenant_id, user_id, seq, incentive_id)
    SELECT tenant_id, user_id, inbox_seq, incentive_id FROM made
), heads AS (
    SELECT * FROM unnest($46::text[], $47::text[], $48::bigint[], $49::bool[]) AS m (tenant_id, user_id, last_seq, fresh)
), heads_changed AS (
    UPDATE inbox_head h SET last_seq = m.last_seq
    FROM heads m WHERE NOT m.fresh AND h.tenant_id = m.tenant_id AND h.user_id = m.user_id
    RETURNING 1
), heads_made AS (
    INSERT INTO inbox_head (tenant_id, user_id, last_seq)
    SELECT tenant_id, user_id, last_seq FROM heads WHERE fresh
    ON CONFLICT DO NOTHING
    RETURNING 1
), counters AS (
    SELECT * FROM unnest($50::text[], $51::text[], $52::text[], $53::text[], $54::date[], $55::bigint[], $56::bigint[],
                         $57::bigint[], $58::bool[])
      AS m (tenant_id, limit_id, user_id, key, window_start, used, cap, version, fresh)
), counters_changed AS (
    UPDATE limit_counter c SET used = m.used, cap = greatest(m.cap, m.used), version = m.version
    FROM counters m
    WHERE NOT m.fresh AND c.tenant_id = m.tenant_id AND c.limit_id = m.limit_id AND c.user_id = m.user_id
      AND c.key = m.key AND c.window_start = m.window_start
    RETURNING 1
), counters_made AS (
    INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
    SELECT tenant_id, limit_id, user_id, key, window_start, used, greatest(cap, used), version FROM counters WHERE fresh
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM heads_changed) + (SELECT count(*) FROM heads_made) AS heads,
       (SELECT count(*) FROM counters_changed) + (SELECT count(*) FROM counters_made) AS counters

-- A granted event's rows in the ledger's tables, and nothing looked at.
WITH met AS (
    INSERT INTO event_met (tenant_id, event_key, event_id, event_source, fingerprint, user_id, action, occurred_at, received_at,
                           attributes, partition, log_offset)
    SELECT e.tenant_id, e.event_key, e.event_id, '/till', e.fingerprint, e.user_id, e.action, e.occurred_at, e.received_at,
           e.attributes::jsonb, e.partition, e.log_offset
    FROM unnest($1::text[], $16::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[],
                $7::timestamptz[], $8::text[], $9::int[], $10::bigint[])
      AS e (tenant_id, event_key, event_id, fingerprint, user_id, action, occurred_at, received_at, attributes, partition,
            log_offset)
), decided AS (
    INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id,
                          outcome, reason, occurred_at, local_day, reward_values, limits, book_version, cohorts, partition, log_offset,
                          decided_at)
    SELECT d.tenant_id, d.decision_id, d.campaign_id, 1, d.event_key, d.event_id, '/till', d.user_id, 'granted', 'granted', d.occurred_at,
           d.occurred_at::date, d.reward_values::jsonb, d.limits::jsonb, 1, '{}', d.partition, d.log_offset, d.decided_at
    FROM unnest($1::text[], $11::uuid[], $12::text[], $16::uuid[], $2::text[], $4::text[], $6::timestamptz[], $13::text[],
                $14::text[], $9::int[], $10::bigint[], $7::timestamptz[])
      AS d (tenant_id, decision_id, campaign_id, event_key, event_id, user_id, occurred_at, reward_values, limits, partition,
            log_offset, decided_at)
), made AS (
    INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
                           kind, value, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
    SELECT i.tenant_id, i.incentive_id, i.decision_id, i.campaign_id, i.user_id, i.event_id, '/till', 0, 'points', 5, 'granted',
           i.inbox_seq, i.occurred_at, i.received_at, i.received_at, i.received_at
    FROM unnest($1::text[], $15::uuid[], $11::uuid[], $12::text[], $4::text[], $2::text[], $10::bigint[],
                $6::timestamptz[], $7::timestamptz[])
      AS i (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, inbox_seq, occurred_at, received_at)
    RETURNING tenant_id, user_id, inbox_seq, incentive_id, granted_at
), lots AS (
    INSERT INTO wallet_lot (tenant_id, user_id, currency, lot_id, amount, remaining, seq, reversed)
    SELECT tenant_id, user_id, 'POINTS', incentive_id, 5, 5, inbox_seq + 1, 0 FROM made
), transfers AS (
    INSERT INTO wallet_transfer (tenant_id, transfer_id, user_id, currency, seq, kind, debit, credit, amount, lots,
                                 source_id, pending_after, active_after, made_at)
    SELECT m.tenant_id, m.incentive_id, m.user_id, 'POINTS', m.inbox_seq + 1, 'grant', 'issued', 'active', 5,
           jsonb_build_object(m.incentive_id, 5), m.incentive_id, 0, 5, m.granted_at
    FROM made m
), balances AS (
    INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq)
    SELECT tenant_id, user_id, 'POINTS', 0, 5 * count(*), 0, 0, 0, 0, max(inbox_seq) + 1 FROM made GROUP BY 1, 2
    ON CONFLICT (tenant_id, user_id, currency) DO UPDATE
    SET active = wallet.active + excluded.active, last_seq = excluded.last_seq
)
INSERT INTO inbox (tenant_id, user_id, seq, incentive_id)
SELECT tenant_id, user_id, inbox_seq + 1, incentive_id FROM made

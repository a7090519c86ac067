-- What was decided on locked wallets: balances, lots, transfers. `fresh` wallets had no row under the lock; where another
-- writer made one meanwhile it is not written, and the count comes out short.
WITH moved AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bool[])
      AS m (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq, fresh)
), changed AS (
    UPDATE wallet w
    SET pending = m.pending, active = m.active, spent = m.spent, expired = m.expired, reversed = m.reversed,
        floor = m.floor, last_seq = m.last_seq, updated_at = clock_timestamp()
    FROM moved m
    WHERE NOT m.fresh AND w.tenant_id = m.tenant_id AND w.user_id = m.user_id AND w.currency = m.currency
    RETURNING 1
), made AS (
    INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq)
    SELECT tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq
    FROM moved WHERE fresh
    ON CONFLICT DO NOTHING
    RETURNING 1
), lots AS (
    INSERT INTO wallet_lot (tenant_id, user_id, currency, lot_id, account, amount, remaining, seq, expired, reversed,
                            available_at, expires_at)
    SELECT * FROM unnest($12::text[], $13::text[], $14::text[], $15::uuid[], $16::text[], $17::bigint[], $18::bigint[],
                         $19::bigint[], $20::bigint[], $21::bigint[], $22::timestamptz[], $23::timestamptz[])
    ON CONFLICT (tenant_id, lot_id) DO UPDATE
    SET account = excluded.account, remaining = excluded.remaining, expired = excluded.expired,
        reversed = excluded.reversed
), transfers AS (
    INSERT INTO wallet_transfer (tenant_id, user_id, currency, transfer_id, seq, kind, debit, credit, amount, lots,
                                 source_id, reason, pending_after, active_after, made_at)
    SELECT t.tenant_id, t.user_id, t.currency, t.transfer_id, t.seq, t.kind, t.debit, t.credit, t.amount,
           t.lots::jsonb, t.source_id, t.reason, t.pending_after, t.active_after, t.made_at
    FROM unnest($24::text[], $25::text[], $26::text[], $27::uuid[], $28::bigint[], $29::text[], $30::text[],
                $31::text[], $32::bigint[], $33::text[], $34::text[], $35::text[], $36::bigint[], $37::bigint[],
                $38::timestamptz[])
      AS t (tenant_id, user_id, currency, transfer_id, seq, kind, debit, credit, amount, lots, source_id, reason,
            pending_after, active_after, made_at)
)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made) AS wallets

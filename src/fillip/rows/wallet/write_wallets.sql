-- What was decided on locked wallets: balances, lots, transfers. `fresh` wallets had no row under the lock; where another
-- writer made one meanwhile it is not written, and the count comes out short.
WITH moved AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::timestamptz[],
                         $13::timestamptz[], $14::timestamptz[], $15::bigint[], $16::bool[])
      AS m (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq, owed, activated_to,
            expired_to, due_at, held, fresh)
), changed AS (
    UPDATE wallet w
    SET pending = m.pending, active = m.active, spent = m.spent, expired = m.expired, reversed = m.reversed,
        floor = m.floor, last_seq = m.last_seq, owed = m.owed, activated_to = m.activated_to,
        expired_to = m.expired_to, due_at = m.due_at, held = m.held, updated_at = clock_timestamp()
    FROM moved m
    WHERE NOT m.fresh AND w.tenant_id = m.tenant_id AND w.user_id = m.user_id AND w.currency = m.currency
    RETURNING 1
), made AS (
    INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq, owed,
                        activated_to, expired_to, due_at, held)
    SELECT tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq, owed, activated_to,
           expired_to, due_at, held
    FROM moved WHERE fresh
    ON CONFLICT DO NOTHING
    RETURNING 1
), lots AS (
    INSERT INTO wallet_lot (tenant_id, user_id, currency, lot_id, amount, remaining, seq, reversed, available_at,
                            expires_at)
    SELECT * FROM unnest($17::text[], $18::text[], $19::text[], $20::uuid[], $21::bigint[], $22::bigint[], $23::bigint[],
                         $24::bigint[], $25::timestamptz[], $26::timestamptz[])
    ON CONFLICT (tenant_id, lot_id) DO UPDATE  -- a lot that came from a merged user's wallet is of this one from now on
        SET user_id = excluded.user_id, seq = excluded.seq, remaining = excluded.remaining, reversed = excluded.reversed
), transfers AS (
    INSERT INTO wallet_transfer (tenant_id, user_id, currency, transfer_id, seq, kind, debit, credit, amount, lots,
                                 source_id, reason, pending_after, active_after, made_at, expiries)
    SELECT t.tenant_id, t.user_id, t.currency, t.transfer_id, t.seq, t.kind, t.debit, t.credit, t.amount,
           t.lots::jsonb, t.source_id, t.reason, t.pending_after, t.active_after, t.made_at, t.expiries::timestamptz[]
    FROM unnest($27::text[], $28::text[], $29::text[], $30::uuid[], $31::bigint[], $32::text[], $33::text[],
                $34::text[], $35::bigint[], $36::text[], $37::text[], $38::text[], $39::bigint[], $40::bigint[],
                $41::timestamptz[], $42::text[])
      AS t (tenant_id, user_id, currency, transfer_id, seq, kind, debit, credit, amount, lots, source_id, reason,
            pending_after, active_after, made_at, expiries)
)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM made) AS wallets

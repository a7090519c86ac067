-- What draws of locked wallets are owed now, and what lots gave for them; one that is owed nothing any more goes.
WITH drawn AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::timestamptz[],
                         $8::int[])
      AS d (tenant_id, user_id, currency, transfer_id, seq, owed, since, part)
), paid AS (
    DELETE FROM wallet_draw w USING drawn d
    WHERE d.owed = 0 AND w.tenant_id = d.tenant_id AND w.user_id = d.user_id AND w.currency = d.currency AND w.seq = d.seq
), parts AS (
    INSERT INTO wallet_part (tenant_id, currency, transfer_id, part, amount, lots, expiries, made_at)
    SELECT tenant_id, currency, transfer_id, part, amount, lots::jsonb, expiries::timestamptz[], made_at
    FROM unnest($9::text[], $10::text[], $11::uuid[], $12::int[], $13::bigint[], $14::text[], $15::text[],
                $16::timestamptz[])
      AS p (tenant_id, currency, transfer_id, part, amount, lots, expiries, made_at)
)
INSERT INTO wallet_draw (tenant_id, user_id, currency, transfer_id, seq, owed, since, part)
SELECT * FROM drawn WHERE owed > 0
ON CONFLICT (tenant_id, user_id, currency, seq) DO UPDATE SET owed = excluded.owed, part = excluded.part

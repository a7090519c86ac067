-- Lots of a locked wallet as an operation left them, new ones too.
INSERT INTO wallet_lot (tenant_id, user_id, currency, lot_id, amount, remaining, seq, reversed, available_at, expires_at)
SELECT :tenant_id, :user_id, :currency, l.*
FROM unnest(CAST(:lot_id AS uuid[]), CAST(:amount AS bigint[]), CAST(:remaining AS bigint[]), CAST(:seq AS bigint[]),
            CAST(:reversed AS bigint[]), CAST(:available_at AS timestamptz[]), CAST(:expires_at AS timestamptz[])) AS l
ON CONFLICT (tenant_id, lot_id) DO UPDATE SET remaining = excluded.remaining, reversed = excluded.reversed

-- A wallet of $3 open lots of a point each: the odd ones expire one after the other ($4, then each a second later), the
-- others never do.
WITH lot AS (
    INSERT INTO wallet_lot (tenant_id, lot_id, user_id, currency, amount, remaining, seq, reversed, expires_at)
    SELECT $1, gen_random_uuid(), $2, 'POINTS', 1, 1, n, 0, CASE WHEN n % 2 = 1 THEN $4::timestamptz + n * interval '1 second' END
    FROM generate_series(1, $3::int) AS n
)
INSERT INTO wallet (tenant_id, user_id, currency, pending, active, spent, expired, reversed, floor, last_seq, due_at)
VALUES ($1, $2, 'POINTS', 0, $3::int, 0, 0, 0, 0, $3::int, $4::timestamptz)

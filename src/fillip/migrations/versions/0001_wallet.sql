-- Points: an append-only double-entry ledger per tenant and currency. The theory stands in fillip/core/wallet.py.

-- A currency of points other than POINTS, or the policy of POINTS.
CREATE TABLE points_currency (
    tenant_id     text NOT NULL REFERENCES tenant,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z][A-Z0-9_]{0,31}$'),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    floor         bigint CHECK (floor <= 0), -- lowest balance that a reversal may leave; NULL: as low as it takes
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, currency)
);

-- The sums of a wallet's transfers, and its lock: every writer takes this row first.
CREATE TABLE wallet (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    currency      text NOT NULL,
    pending       bigint NOT NULL CHECK (pending >= 0),
    active        bigint NOT NULL,
    spent         bigint NOT NULL CHECK (spent >= 0),
    expired       bigint NOT NULL CHECK (expired >= 0),
    reversed      bigint NOT NULL CHECK (reversed >= 0),
    floor         bigint NOT NULL CHECK (floor <= 0), -- what a reversal brought active to; rises as the debt is paid
    last_seq      bigint NOT NULL CHECK (last_seq >= 0),
    owed          bigint NOT NULL DEFAULT 0 CHECK (owed >= 0), -- to draws, by lots that expire after expired_to
    activated_to  timestamptz NOT NULL DEFAULT 'epoch',        -- lots available by then are active
    expired_to    timestamptz NOT NULL DEFAULT 'epoch',        -- what remains of lots that expire by then has expired
    due_at        timestamptz,           -- no later than the next moment when something is to be moved
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id, currency),
    CHECK (active >= floor)
) WITH (fillfactor = 70);
CREATE INDEX wallet_due ON wallet (tenant_id, due_at) WHERE due_at IS NOT NULL;

-- Points that came together, pending or active or expired by the times of their wallet. lot_id: the incentive, or the
-- transfer of an adjustment.
CREATE TABLE wallet_lot (
    tenant_id     text NOT NULL,
    lot_id        uuid NOT NULL,
    user_id       text NOT NULL,
    currency      text NOT NULL,
    amount        bigint NOT NULL CHECK (amount > 0),
    remaining     bigint NOT NULL CHECK (remaining >= 0),
    seq           bigint NOT NULL,       -- of the transfer that made it
    reversed      bigint NOT NULL CHECK (reversed >= 0),
    available_at  timestamptz,           -- it becomes active then
    expires_at    timestamptz,           -- never set in a history tenant
    PRIMARY KEY (tenant_id, lot_id),
    CHECK (remaining + reversed <= amount),
    CHECK (available_at <= expires_at)
) WITH (fillfactor = 70);
-- In the order they are spent in, so that the first ones are found, and summed, without the others.
CREATE INDEX wallet_lot_open ON wallet_lot (tenant_id, user_id, currency, expires_at, seq)
    INCLUDE (remaining, available_at) WHERE remaining > 0;
CREATE INDEX wallet_lot_pending ON wallet_lot (tenant_id, user_id, currency, available_at) INCLUDE (remaining)
    WHERE remaining > 0 AND available_at IS NOT NULL;
CREATE INDEX wallet_lot_used ON wallet_lot (tenant_id, user_id, currency) WHERE amount > remaining + reversed;

-- One row moves `amount` from one account to another: that a transfer sums to zero needs no check. Never changed.
CREATE TABLE wallet_transfer (
    tenant_id      text NOT NULL,
    transfer_id    uuid NOT NULL,        -- a function of what it stands for
    user_id        text NOT NULL,
    currency       text NOT NULL,
    seq            bigint NOT NULL CHECK (seq >= 1),
    kind           text NOT NULL CHECK (kind IN ('grant', 'activate', 'spend', 'refund', 'expire', 'reverse', 'adjust')),
    debit          text NOT NULL CHECK (debit IN ('issued', 'pending', 'active', 'spent', 'expired', 'reversed')),
    credit         text NOT NULL CHECK (credit IN ('issued', 'pending', 'active', 'spent', 'expired', 'reversed')),
    amount         bigint NOT NULL CHECK (amount > 0),
    lots           jsonb NOT NULL,       -- lot_id in hex -> change of what remains of it
    source_id      text NOT NULL,        -- incentive or lot in hex, or the tenant's id of the spend or adjustment
    reason         text,                 -- of an adjustment; the id of the reversal or refund
    pending_after  bigint NOT NULL,
    active_after   bigint NOT NULL,
    made_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, transfer_id),
    UNIQUE (tenant_id, user_id, currency, seq),
    CHECK (debit <> credit)
);

-- What a transfer moved and lots have yet to give: by those that expire after `since`, the earliest first.
CREATE TABLE wallet_draw (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    currency      text NOT NULL,
    seq           bigint NOT NULL,       -- of the transfer
    transfer_id   uuid NOT NULL,
    owed          bigint NOT NULL CHECK (owed > 0),
    since         timestamptz NOT NULL,
    part          integer NOT NULL,      -- the last one written
    PRIMARY KEY (tenant_id, user_id, currency, seq)
);

-- What lots gave later for a transfer that draws on more of them than it names itself. Never changed.
CREATE TABLE wallet_part (
    tenant_id     text NOT NULL,
    transfer_id   uuid NOT NULL,
    part          integer NOT NULL CHECK (part >= 1),
    amount        bigint NOT NULL CHECK (amount > 0),
    lots          jsonb NOT NULL,
    PRIMARY KEY (tenant_id, transfer_id, part)
);

-- Refunds of spends, by ids that are the tenant's: what each is of, and how much of it came back, portion by portion.
CREATE TABLE wallet_refund (
    tenant_id     text NOT NULL,
    transfer_id   uuid NOT NULL,         -- of the spend
    refund_id     text NOT NULL,
    amount        bigint NOT NULL CHECK (amount > 0),
    returned      bigint NOT NULL CHECK (returned BETWEEN 1 AND amount),
    last_id       uuid NOT NULL,         -- the transfer that gave back last
    PRIMARY KEY (tenant_id, transfer_id, refund_id)
);

-- The lots that fall due in a wallet by `at`, at most `at_most` that become active and as many that expire.
CREATE FUNCTION list_due_lots(
    tenant text, owner text, unit text, activated_to timestamptz, expired_to timestamptz, at timestamptz, at_most int
) RETURNS SETOF wallet_lot LANGUAGE sql STABLE AS $$
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
       AND l.available_at > activated_to AND l.available_at <= at
     ORDER BY l.available_at LIMIT at_most)
    UNION
    (SELECT l.* FROM wallet_lot l
     WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
       AND l.expires_at > expired_to AND l.expires_at <= at
     ORDER BY l.expires_at, l.seq LIMIT at_most)
$$;

-- What remains of all lots that fall due by `at`: read from the indexes alone, some millions of lots a second.
CREATE FUNCTION sum_due_lots(
    tenant text, owner text, unit text, activated_to timestamptz, expired_to timestamptz, at timestamptz
) RETURNS TABLE (activating bigint, expiring bigint) LANGUAGE sql STABLE AS $$
    SELECT (SELECT coalesce(sum(l.remaining), 0)::bigint FROM wallet_lot l
            WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
              AND l.available_at > activated_to AND l.available_at <= at),
           (SELECT coalesce(sum(l.remaining), 0)::bigint FROM wallet_lot l
            WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
              AND l.expires_at > expired_to AND l.expires_at <= at)
$$;

-- The first open active lots that expire after `since`, in the order they are spent in.
CREATE FUNCTION list_first_lots(
    tenant text, owner text, unit text, activated_to timestamptz, since timestamptz, at_most int
) RETURNS SETOF wallet_lot LANGUAGE sql STABLE AS $$
    SELECT * FROM (
        (SELECT l.* FROM wallet_lot l
         WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
           AND l.expires_at > since AND (l.available_at IS NULL OR l.available_at <= activated_to)
         ORDER BY l.expires_at, l.seq LIMIT at_most)
        UNION ALL
        (SELECT l.* FROM wallet_lot l
         WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
           AND l.expires_at IS NULL AND (l.available_at IS NULL OR l.available_at <= activated_to)
         ORDER BY l.expires_at, l.seq LIMIT at_most) -- as wallet_lot_open has them, or another index is taken
    ) AS first
    ORDER BY expires_at, seq LIMIT at_most
$$;

-- What expires next of a wallet that is brought up to its time, beyond what is owed; no row where nothing does, or where
-- the first 5,000 lots are all owed.
CREATE FUNCTION find_next_expiry(
    tenant text, owner text, unit text, activated_to timestamptz, since timestamptz, owed bigint
) RETURNS TABLE (expires_at timestamptz, amount bigint) LANGUAGE sql STABLE AS $$
    SELECT next.expires_at, (
        SELECT sum(l.remaining) - owed FROM wallet_lot l
        WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
          AND l.expires_at > since AND l.expires_at <= next.expires_at
          AND (l.available_at IS NULL OR l.available_at <= activated_to))::bigint
    FROM (
        SELECT f.expires_at, f.seq, sum(f.remaining) OVER (ORDER BY f.expires_at, f.seq ROWS UNBOUNDED PRECEDING) AS so_far
        FROM (
            SELECT l.expires_at, l.seq, l.remaining FROM wallet_lot l
            WHERE l.tenant_id = tenant AND l.user_id = owner AND l.currency = unit AND l.remaining > 0
              AND l.expires_at > since AND (l.available_at IS NULL OR l.available_at <= activated_to)
            ORDER BY l.expires_at, l.seq LIMIT 5000
        ) AS f
    ) AS next
    WHERE next.so_far > owed ORDER BY next.expires_at, next.seq LIMIT 1
$$;

-- The two postings of each transfer, for audit: balances are sums of these. The issuing account is each tenant's one.
CREATE VIEW wallet_posting WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.transfer_id, t.currency, t.user_id, t.seq, p.account, p.amount, t.kind, t.made_at
    FROM wallet_transfer t CROSS JOIN LATERAL (VALUES (t.debit, -t.amount), (t.credit, t.amount)) AS p (account, amount);

GRANT SELECT, INSERT, UPDATE ON points_currency TO fillip_api;
GRANT SELECT ON points_currency TO fillip_worker;
GRANT SELECT, INSERT, UPDATE ON wallet, wallet_lot TO fillip_api, fillip_worker;
GRANT SELECT, INSERT ON wallet_transfer, wallet_part TO fillip_api, fillip_worker;
GRANT SELECT, INSERT, UPDATE ON wallet_refund TO fillip_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON wallet_draw TO fillip_api, fillip_worker;
GRANT SELECT ON wallet_posting TO fillip_api, fillip_worker;

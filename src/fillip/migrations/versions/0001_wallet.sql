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
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id, currency),
    CHECK (active >= floor)
) WITH (fillfactor = 70);

-- Points that came together. lot_id: the incentive, or the transfer of an adjustment.
CREATE TABLE wallet_lot (
    tenant_id     text NOT NULL,
    lot_id        uuid NOT NULL,
    user_id       text NOT NULL,
    currency      text NOT NULL,
    account       text NOT NULL CHECK (account IN ('pending', 'active')),
    amount        bigint NOT NULL CHECK (amount > 0),
    remaining     bigint NOT NULL CHECK (remaining >= 0),
    seq           bigint NOT NULL,       -- of the transfer that made it
    expired       bigint NOT NULL CHECK (expired >= 0),
    reversed      bigint NOT NULL CHECK (reversed >= 0),
    available_at  timestamptz,           -- a pending lot becomes active then
    expires_at    timestamptz,           -- never set in a history tenant
    PRIMARY KEY (tenant_id, lot_id),
    CHECK (remaining + expired + reversed <= amount)
) WITH (fillfactor = 70);
CREATE INDEX wallet_lot_of ON wallet_lot (tenant_id, user_id, currency, seq);
CREATE INDEX wallet_lot_open ON wallet_lot (tenant_id, user_id, currency) WHERE remaining > 0;
CREATE INDEX wallet_lot_due ON wallet_lot (least(expires_at, CASE account WHEN 'pending' THEN available_at END))
    WHERE remaining > 0 AND least(expires_at, CASE account WHEN 'pending' THEN available_at END) IS NOT NULL;

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
    reason         text,                 -- of an adjustment; the reversal's id
    pending_after  bigint NOT NULL,
    active_after   bigint NOT NULL,
    made_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, transfer_id),
    UNIQUE (tenant_id, user_id, currency, seq),
    CHECK (debit <> credit)
);

-- The two postings of each transfer, for audit: balances are sums of these. The issuing account is each tenant's one.
CREATE VIEW wallet_posting WITH (security_invoker = true) AS
    SELECT t.tenant_id, t.transfer_id, t.currency, t.user_id, t.seq, p.account, p.amount, t.kind, t.made_at
    FROM wallet_transfer t CROSS JOIN LATERAL (VALUES (t.debit, -t.amount), (t.credit, t.amount)) AS p (account, amount);

GRANT SELECT, INSERT, UPDATE ON points_currency TO fillip_api;
GRANT SELECT ON points_currency TO fillip_worker;
GRANT SELECT, INSERT, UPDATE ON wallet, wallet_lot TO fillip_api, fillip_worker;
GRANT SELECT, INSERT ON wallet_transfer TO fillip_api, fillip_worker;
GRANT SELECT ON wallet_posting TO fillip_api, fillip_worker;

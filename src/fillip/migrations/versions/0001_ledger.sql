-- The first schema: control plane, ledger, outbox by WAL. Every table carries row-level security, FORCEd.
-- Roles hold one tenant (app.tenant) or, for the worker, the tenants of one batch (app.tenants).

-- ---------------------------------------------------------------- control plane
CREATE TABLE tenant (
    tenant_id     text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    time_zone     text NOT NULL,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    clock         text NOT NULL CHECK (clock IN ('live', 'history')),
    user_schema   jsonb NOT NULL DEFAULT '{"type": "object", "properties": {}}',
    book_version  bigint NOT NULL DEFAULT 0,
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    key_id        uuid PRIMARY KEY DEFAULT uuidv7(),
    tenant_id     text NOT NULL REFERENCES tenant,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix        text NOT NULL,
    key_hash      bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    scopes        text[] NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz
);

CREATE TABLE end_user (
    tenant_id     text NOT NULL REFERENCES tenant,
    user_id       text NOT NULL CHECK (length(user_id) BETWEEN 1 AND 256),
    attributes    jsonb NOT NULL DEFAULT '{}',
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE action (
    tenant_id     text NOT NULL REFERENCES tenant,
    name          text NOT NULL CHECK (name ~ '^[A-Za-z][A-Za-z0-9_.-]{0,99}$'),
    schema        jsonb NOT NULL,
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE campaign (
    tenant_id     text NOT NULL REFERENCES tenant,
    campaign_id   text NOT NULL CHECK (campaign_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    state         text NOT NULL CHECK (state IN ('draft', 'scheduled', 'running', 'paused', 'ended', 'archived')),
    version       integer NOT NULL CHECK (version >= 1),
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    kept          integer[] NOT NULL DEFAULT '{}' CHECK (cardinality(kept) <= 8),  -- earlier versions still in force
    PRIMARY KEY (tenant_id, campaign_id)
);

-- One row a version, never changed once the campaign has been launched.
CREATE TABLE campaign_version (
    tenant_id     text NOT NULL,
    campaign_id   text NOT NULL,
    version       integer NOT NULL,
    definition    jsonb NOT NULL,
    checked       jsonb NOT NULL,  -- expression path -> CheckedExpr, base64
    steps         bigint NOT NULL DEFAULT 0, -- that an event may take at most in all expressions
    created_at    timestamptz NOT NULL DEFAULT now(),
    open_instances text CHECK (open_instances IN ('keep', 'migrate')),  -- of a quest; NULL where nothing was asked
    PRIMARY KEY (tenant_id, campaign_id, version),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign DEFERRABLE INITIALLY DEFERRED
);

-- "limit" is a reserved word.
CREATE TABLE spending_limit (
    tenant_id     text NOT NULL REFERENCES tenant,
    limit_id      text NOT NULL CHECK (limit_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    campaign_id   text,
    scope         text NOT NULL CHECK (scope IN ('tenant', 'campaign', 'user', 'user_in_campaign')),
    measure       text NOT NULL CHECK (measure IN ('count', 'value')),
    span          text NOT NULL CHECK (span IN ('day', 'week', 'month', 'lifetime')),
    reward_kind   text,
    currency      text,                    -- of the points or cashback whose values are added up
    action        text,
    key           text,
    key_checked   bytea,
    cap           bigint NOT NULL CHECK (cap >= 0),
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, limit_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign,
    CHECK ((campaign_id IS NOT NULL) = (scope IN ('campaign', 'user_in_campaign'))),
    CHECK (measure = 'count' OR reward_kind IS NOT NULL),
    CHECK (currency IS NULL OR (measure = 'value' AND reward_kind IN ('points', 'cashback'))),
    CHECK ((key IS NULL) = (key_checked IS NULL))
);

-- Every change of tenant, action, campaign, limit, cohort or list, numbered per tenant in commit order:
-- the WAL carries it to book.changed, and replaying it gives the book of any version.
CREATE TABLE book_change (
    tenant_id     text NOT NULL REFERENCES tenant,
    book_version  bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('tenant', 'action', 'campaign', 'limit', 'cohort', 'list')),
    object_id     text NOT NULL,
    document      jsonb NOT NULL,
    changed_by    uuid,
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, book_version)
);

CREATE TABLE idempotency (
    tenant_id     text NOT NULL REFERENCES tenant,
    key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash  bytea NOT NULL,
    status        integer,
    headers       jsonb,
    body          bytea,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);

-- Single-use admission of one end customer to the gateway; kept as a hash only.
CREATE TABLE gateway_ticket (
    ticket_hash   bytea PRIMARY KEY CHECK (length(ticket_hash) = 32),
    tenant_id     text NOT NULL REFERENCES tenant,
    user_id       text NOT NULL,
    expires_at    timestamptz NOT NULL,
    redeemed_at   timestamptz
);

-- ---------------------------------------------------------------- ledger
-- The fence: a batch commits only where its start is the stored next offset. An offset means something in one log
-- alone: in the topic of this id, which is the one of this generation (an operator counts it up to go on with another).
CREATE TABLE consumer_position (
    topic         text NOT NULL,
    partition     integer NOT NULL,
    generation    integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
    shard         integer NOT NULL DEFAULT 0,
    next_offset   bigint NOT NULL CHECK (next_offset >= 0),
    owner         text NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    topic_id      text NOT NULL DEFAULT '',
    PRIMARY KEY (topic, partition, generation, shard)
);

-- The book version in force from an offset on, per tenant: one row at each switch.
CREATE TABLE book_pin (
    topic         text NOT NULL,
    partition     integer NOT NULL,
    from_offset   bigint NOT NULL,
    tenant_id     text NOT NULL,
    book_version  bigint NOT NULL,
    generation    integer NOT NULL DEFAULT 0,  -- of the log
    PRIMARY KEY (tenant_id, topic, partition, generation, from_offset)
);

-- Every event that met a rule or a step: the dedupe key and what explains the decision later.
CREATE TABLE event_met (
    tenant_id     text NOT NULL,
    event_key     uuid NOT NULL,         -- of tenant, source and id: a hash, since a source is too long for an index
    event_id      text NOT NULL,
    event_source  text NOT NULL,
    fingerprint   bytea,                 -- NULL: not come yet, a reversal waits for it
    user_id       text NOT NULL,
    action        text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    attributes    jsonb NOT NULL,
    partition     integer NOT NULL,
    log_offset    bigint NOT NULL,
    PRIMARY KEY (tenant_id, event_key)
) PARTITION BY HASH (tenant_id, event_key);
DO $$ BEGIN FOR i IN 0..7 LOOP
    EXECUTE format('CREATE TABLE event_met_%s PARTITION OF event_met FOR VALUES WITH (MODULUS 8, REMAINDER %s)', i, i);
END LOOP; END $$;

CREATE INDEX event_met_by_id ON event_met (tenant_id, event_id);

-- Use of a limit in one window; user_id '' = shared by all users, key '' = not split.
-- cap = greatest(the limit's cap, used): a cap lowered below its use refuses all further, and breaks nothing.
CREATE TABLE limit_counter (
    tenant_id     text NOT NULL,
    limit_id      text NOT NULL,
    user_id       text NOT NULL,
    key           text NOT NULL,
    window_start  date NOT NULL,         -- '1970-01-01' for lifetime
    used          bigint NOT NULL,
    cap           bigint NOT NULL,
    version       bigint NOT NULL,       -- changes so far: grants, and returns by reversals
    PRIMARY KEY (tenant_id, limit_id, user_id, key, window_start),
    CHECK (used BETWEEN 0 AND cap)
) WITH (fillfactor = 70);

CREATE TABLE decision (
    tenant_id        text NOT NULL,
    decision_id      uuid NOT NULL,
    campaign_id      text NOT NULL,
    campaign_version integer NOT NULL,
    event_key        uuid NOT NULL,
    event_id         text NOT NULL,
    event_source     text NOT NULL,
    user_id          text NOT NULL,
    instance         text NOT NULL DEFAULT '',   -- of a quest: occurrence, or key#occurrence; '' for SIMPLE
    outcome          text NOT NULL CHECK (outcome IN ('granted', 'denied')),
    reason           text NOT NULL,
    outranked_by     text,                       -- the campaign that won the event instead
    occurred_at      timestamptz NOT NULL,
    local_day        date NOT NULL,              -- event's day in the tenant's zone
    reward_values    jsonb NOT NULL,             -- [{kind, value, currency}]
    limits           jsonb NOT NULL,             -- [{limit_id, key, window_start, version, used_before, amount, cap}]
    book_version     bigint NOT NULL,
    user_attributes  jsonb,
    cohorts          jsonb,
    partition        integer NOT NULL,
    log_offset       bigint NOT NULL,
    decided_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, decision_id)
);
CREATE INDEX decision_by_event ON decision (tenant_id, event_key);
CREATE INDEX decision_by_user ON decision (tenant_id, user_id, decided_at, decision_id);
CREATE INDEX decision_newest ON decision (tenant_id, decided_at, decision_id);

CREATE TABLE incentive (
    tenant_id     text NOT NULL,
    incentive_id  uuid NOT NULL,
    decision_id   uuid NOT NULL,
    campaign_id   text NOT NULL,
    user_id       text NOT NULL,
    event_id      text NOT NULL,
    event_source  text NOT NULL,
    reward_index  integer NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('points', 'cashback', 'coupon', 'badge', 'custom')),
    value         bigint NOT NULL CHECK (value >= 0),  -- minor units of currency, or points
    currency      text,
    payload       jsonb,
    state         text NOT NULL CHECK (state IN ('granted', 'delivered', 'claimed', 'reversed', 'expired')),
    inbox_seq     bigint NOT NULL,
    occurred_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,  -- the broker's append time of the event
    taken_at      timestamptz NOT NULL,  -- when the worker took the event's batch
    granted_at    timestamptz NOT NULL,  -- when settle decided
    reversed_value bigint NOT NULL DEFAULT 0 CHECK (reversed_value BETWEEN 0 AND value),  -- taken back so far
    coupon_code   text,                  -- from the reward's pool
    expires_at    timestamptz,           -- from then on it can't be claimed; never set in a history tenant
    claimed_at    timestamptz,
    reservation_id text,                 -- who holds it until reserved_until, or with which reservation it was claimed
    reserved_until timestamptz,
    PRIMARY KEY (tenant_id, incentive_id)
);
CREATE INDEX incentive_by_user ON incentive (tenant_id, user_id, granted_at, incentive_id);
CREATE INDEX incentive_newest ON incentive (tenant_id, granted_at, incentive_id);
CREATE INDEX incentive_due ON incentive (tenant_id, expires_at)
    WHERE expires_at IS NOT NULL AND state = 'granted' AND kind <> 'points';

-- The truth of what each user is told: 1..n without a gap.
CREATE TABLE inbox (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    seq           bigint NOT NULL CHECK (seq >= 1),
    incentive_id  uuid NOT NULL,
    acked_at      timestamptz,
    kind          text NOT NULL DEFAULT 'granted' CHECK (kind IN ('granted', 'reversed', 'expired')),
    PRIMARY KEY (tenant_id, user_id, seq)
);
CREATE TABLE inbox_head (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    last_seq      bigint NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 70);

-- What could not be decided: undecodable, unknown, invalid, conflicting, undecidable. tenant_id is NULL where it is not known.
CREATE TABLE rejection (
    rejection_id  uuid PRIMARY KEY,
    tenant_id     text,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    log_offset    bigint NOT NULL,
    reason        text NOT NULL,
    detail        text NOT NULL,
    event_id      text,
    event_source  text,
    original      bytea NOT NULL,
    received_at   timestamptz NOT NULL,
    rejected_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    generation    integer NOT NULL DEFAULT 0,  -- of the log
    UNIQUE (topic, partition, generation, log_offset)
);

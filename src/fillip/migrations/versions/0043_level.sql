-- Ladders of levels, what users earned on each day, and their levels. Locks nothing that exists but rows of tenant, for a foreign key.

-- The levels of a currency of points, lowest first, each with what is to be earned in a window to have it. `filled_to`: whose past is added up by
-- now, by user id, NULL: everybody's; `followed_to`: who stands where the newest definition says, NULL: everybody. A ladder that is `leaving` is
-- deleted already, but for rows that the sweep removes.
CREATE TABLE ladder (
    tenant_id     text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    currency      text NOT NULL CHECK (currency ~ '^[A-Z][A-Z0-9_]{0,31}$'),
    span          text NOT NULL CHECK (span IN ('month', 'year', 'rolling', 'lifetime')),
    rolling_s     bigint CHECK (rolling_s BETWEEN 86400 AND 31622400 AND rolling_s % 86400 = 0),
    names         text[] NOT NULL,
    thresholds    bigint[] NOT NULL CHECK (thresholds[1] = 0),
    attribute     text CHECK (octet_length(attribute) <= 256), -- of users, by which rules read the level; NULL: they do not
    filled_to     text DEFAULT '' CHECK (octet_length(filled_to) <= 256),
    followed_to   text CHECK (octet_length(followed_to) <= 256),
    leaving       boolean NOT NULL DEFAULT false,
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, currency),
    CHECK ((rolling_s IS NOT NULL) = (span = 'rolling')),
    UNIQUE (tenant_id, attribute),
    CHECK (cardinality(names) BETWEEN 1 AND 20 AND cardinality(thresholds) = cardinality(names))
);
CREATE INDEX ladder_due ON ladder (tenant_id) WHERE leaving OR filled_to IS NOT NULL OR followed_to IS NOT NULL;

-- What a user earned by events of a day of the tenant, less what was taken back of it; the row of -infinity is the sum of all days.
CREATE TABLE earned_day (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    currency      text NOT NULL CHECK (octet_length(currency) <= 32),
    user_id       text NOT NULL CHECK (octet_length(user_id) <= 256),
    day           date NOT NULL,
    earned        bigint NOT NULL CHECK (earned >= 0),
    PRIMARY KEY (tenant_id, currency, user_id, day)
) WITH (fillfactor = 70);

-- The level of a user, as it was announced; who has no row is on the lowest. It holds until `falls_at` if nothing more is earned, NULL: for good.
CREATE TABLE user_level (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    currency      text NOT NULL CHECK (octet_length(currency) <= 32),
    user_id       text NOT NULL CHECK (octet_length(user_id) <= 256),
    level         text NOT NULL CHECK (octet_length(level) <= 63),
    threshold     bigint NOT NULL CHECK (threshold >= 0),
    since         timestamptz NOT NULL,
    falls_at      timestamptz,
    PRIMARY KEY (tenant_id, currency, user_id)
) WITH (fillfactor = 70);
CREATE INDEX user_level_due ON user_level (tenant_id, falls_at) WHERE falls_at IS NOT NULL;

-- Each time a user's level changed, numbered by user and currency: what is announced.
CREATE TABLE level_change (
    tenant_id       text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    user_id         text NOT NULL CHECK (octet_length(user_id) <= 256),
    currency        text NOT NULL CHECK (octet_length(currency) <= 32),
    number          bigint NOT NULL CHECK (number >= 1),
    direction       text NOT NULL CHECK (direction IN ('up', 'down', 'renamed')),
    from_level      text NOT NULL CHECK (octet_length(from_level) <= 63),
    to_level        text NOT NULL CHECK (octet_length(to_level) <= 63),
    earned          bigint NOT NULL,     -- in the window, when the level changed
    next_level      text CHECK (octet_length(next_level) <= 63), -- NULL: there is none above
    next_threshold  bigint,
    falls_at        timestamptz,
    changed_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, currency, number)
);

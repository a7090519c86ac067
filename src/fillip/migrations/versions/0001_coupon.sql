-- Coupon pools and badges: what is given besides points and money, each piece once.

CREATE TABLE coupon_pool (
    tenant_id     text NOT NULL REFERENCES tenant,
    pool_id       text NOT NULL CHECK (pool_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, pool_id)
);

-- A code is unique in its tenant, so that a till needs no more than the code. Free until it belongs to an incentive;
-- it was shown then, and is never free again.
CREATE TABLE coupon (
    tenant_id     text NOT NULL,
    code          text COLLATE "C" NOT NULL CHECK (code ~ '^[A-Za-z0-9._-]{1,64}$'),
    pool_id       text NOT NULL,
    incentive_id  uuid,
    redeemed_at   timestamptz,
    PRIMARY KEY (tenant_id, code),
    FOREIGN KEY (tenant_id, pool_id) REFERENCES coupon_pool,
    CHECK (redeemed_at IS NULL OR incentive_id IS NOT NULL)
);
CREATE INDEX coupon_free ON coupon (tenant_id, pool_id, code) WHERE incentive_id IS NULL;
CREATE INDEX coupon_given ON coupon (tenant_id, pool_id) WHERE incentive_id IS NOT NULL;

-- Codes to be made in chunks: `made` is counted in the transaction that inserts them.
CREATE TABLE coupon_generation (
    tenant_id     text NOT NULL,
    generation_id uuid NOT NULL DEFAULT uuidv7(),
    pool_id       text NOT NULL,
    pattern       text NOT NULL,
    wanted        integer NOT NULL CHECK (wanted >= 1),
    made          integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    PRIMARY KEY (tenant_id, generation_id),
    FOREIGN KEY (tenant_id, pool_id) REFERENCES coupon_pool,
    CHECK (made BETWEEN 0 AND wanted),
    CHECK ((finished_at IS NOT NULL) = (made = wanted))
);
CREATE INDEX coupon_generation_open ON coupon_generation (tenant_id, generation_id) WHERE finished_at IS NULL;

CREATE TABLE badge (
    tenant_id     text NOT NULL REFERENCES tenant,
    badge_id      text NOT NULL CHECK (badge_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    description   text NOT NULL DEFAULT '',
    image_url     text,
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, badge_id)
);

-- Each user's shelf: a badge once.
CREATE TABLE badge_held (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    badge_id      text NOT NULL,
    incentive_id  uuid NOT NULL,
    held_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, badge_id)
);

GRANT SELECT, INSERT ON coupon_pool, coupon_generation TO fillip_api;
GRANT SELECT, INSERT, UPDATE (redeemed_at) ON coupon TO fillip_api;
GRANT SELECT, INSERT, UPDATE ON badge TO fillip_api;
GRANT SELECT ON badge_held TO fillip_api;
GRANT UPDATE (state, claimed_at, reservation_id, reserved_until) ON incentive TO fillip_api;

GRANT SELECT, INSERT, UPDATE ON coupon TO fillip_worker;
GRANT SELECT, UPDATE ON coupon_generation TO fillip_worker;
GRANT SELECT, INSERT, DELETE ON badge_held TO fillip_worker;
GRANT UPDATE (state) ON incentive TO fillip_worker;

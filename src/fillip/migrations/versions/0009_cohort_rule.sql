-- Cohorts that users join and leave by their events. Locks cohort for a moment, whose rows stay as they are.

ALTER TABLE cohort
    DROP CONSTRAINT cohort_kind_check,
    ADD CONSTRAINT cohort_kind_check CHECK (kind IN ('uploaded', 'sql', 'combined', 'realtime'));

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fillip_cohort') THEN
        CREATE ROLE fillip_cohort LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    -- Counting again adds nothing, and what is lost with the server takes its positions with it.
    ALTER ROLE fillip_cohort SET synchronous_commit = off;
    ALTER ROLE fillip_cohort SET idle_in_transaction_session_timeout = '2s';
    ALTER ROLE fillip_cohort SET lock_timeout = '10s';
    ALTER ROLE fillip_cohort SET statement_timeout = '60s';
    -- Its statements look rows up by their whole key, as the worker's do: see 0001_roles.sql.
    ALTER ROLE fillip_cohort SET plan_cache_mode = 'force_generic_plan';
    ALTER ROLE fillip_cohort SET enable_seqscan = off;
    ALTER ROLE fillip_cohort SET enable_hashjoin = off;
    ALTER ROLE fillip_cohort SET enable_mergejoin = off;
    ALTER ROLE fillip_cohort SET jit = off;
    GRANT USAGE ON SCHEMA public TO fillip_cohort;
END $$;

-- The rule of a cohort, and how many steps it may cost an event; each that is saved has an id of its own. It is `building` until what the log still holds has been counted,
-- which it knows in full from `known_since` on (NULL: from the first event), and the list in force is by it.
CREATE TABLE cohort_rule (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    cohort_id     text NOT NULL CHECK (octet_length(cohort_id) <= 63),
    rule_id       uuid NOT NULL DEFAULT uuidv7(),
    action        text NOT NULL,
    definition    jsonb NOT NULL,
    rule_checked  bytea NOT NULL,
    sum_checked   bytea,
    cost          integer NOT NULL,
    state         text NOT NULL DEFAULT 'building' CHECK (state IN ('building', 'in_force')),
    known_since   timestamptz,
    saved_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cohort_id),
    FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohort ON DELETE CASCADE
);
CREATE INDEX cohort_rule_building ON cohort_rule (saved_at) WHERE state = 'building';

-- What a rule needs to remember of one user: see core/tally.py. The user leaves at `leaves_at` without another event, and nothing
-- of it counts from `forget_at` on. `is_listed` is what the list in force says; where it differs, since an event received at `changed_at`.
-- Without foreign keys: a check a row, thousands of times a second.
CREATE TABLE cohort_tally (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    rule_id       uuid NOT NULL,
    user_id       text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    terms         bytea STORAGE EXTERNAL NOT NULL CHECK (octet_length(terms) <= 12000),
    is_member     boolean NOT NULL,
    is_listed     boolean NOT NULL DEFAULT false,
    leaves_at     timestamptz,
    forget_at     timestamptz,
    changed_at    timestamptz,
    PRIMARY KEY (tenant_id, rule_id, user_id)
);
CREATE INDEX cohort_tally_leaving ON cohort_tally (tenant_id, leaves_at) WHERE is_member AND leaves_at IS NOT NULL;
CREATE INDEX cohort_tally_over ON cohort_tally (tenant_id, forget_at) WHERE NOT is_member AND NOT is_listed AND forget_at IS NOT NULL;
CREATE INDEX cohort_tally_unlisted ON cohort_tally (tenant_id, rule_id, changed_at) WHERE is_member <> is_listed;

-- Rules that others have taken the place of, or whose cohort is deleted: their tallies go a while later.
CREATE TABLE cohort_rule_left (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    rule_id       uuid NOT NULL,
    left_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, rule_id)
);

-- How far each partition of the events is counted: up to `next_offset`, without, the last one received at `received_at`; at
-- `caught_up_at` there was nothing behind it.
CREATE TABLE cohort_position (
    topic         text NOT NULL CHECK (octet_length(topic) <= 249),
    partition     integer NOT NULL,
    next_offset   bigint NOT NULL,
    topic_id      text NOT NULL,
    received_at   timestamptz,
    caught_up_at  timestamptz,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['cohort_rule', 'cohort_rule_left', 'cohort_tally', 'cohort_position'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['cohort_rule', 'cohort_rule_left', 'cohort_tally'] LOOP
        EXECUTE format('CREATE POLICY one_tenant ON %I TO fillip_api
            USING (tenant_id = current_setting(''app.tenant'', true))', t);
    END LOOP;
END $$;
CREATE POLICY find_rules ON cohort_rule FOR SELECT TO fillip_cohort USING (true);
CREATE POLICY find_left ON cohort_rule_left TO fillip_cohort USING (true);
CREATE POLICY batch_tenants ON cohort_tally TO fillip_cohort
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
CREATE POLICY fence ON cohort_position TO fillip_cohort USING (true) WITH CHECK (true);
CREATE POLICY tell_behind ON cohort_position FOR SELECT TO fillip_api USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON cohort_rule TO fillip_api;
GRANT SELECT, UPDATE (is_listed, changed_at) ON cohort_tally TO fillip_api;
GRANT SELECT ON cohort_position TO fillip_api;
GRANT SELECT, INSERT ON cohort_rule_left TO fillip_api;
GRANT SELECT ON cohort_rule TO fillip_cohort;
GRANT SELECT, DELETE ON cohort_rule_left TO fillip_cohort;
GRANT SELECT, INSERT, UPDATE, DELETE ON cohort_tally TO fillip_cohort;
GRANT SELECT, INSERT, UPDATE ON cohort_position TO fillip_cohort;

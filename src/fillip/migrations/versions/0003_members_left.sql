-- What held members before goes, and the tables of now are closed to all but those who use them. Locks both.
DROP FUNCTION list_cohorts(text, text);
DROP FUNCTION list_members(text, uuid, text, integer);
DROP TABLE cohort_part;
DROP TABLE cohort_content;
UPDATE cohort c SET octets = (
    SELECT coalesce(sum(octet_length(k.members)), 0) FROM cohort_chunk k
    WHERE k.tenant_id = c.tenant_id AND k.content_id = c.content_id);
ALTER TABLE cohort FORCE ROW LEVEL SECURITY;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['user_numbering', 'user_number', 'cohort_chunk'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY one_tenant ON %I TO fillip_api
            USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('CREATE POLICY batch_tenants ON %I TO fillip_worker
            USING (tenant_id IN (SELECT unnest(string_to_array(current_setting(''app.tenants'', true), '',''))))', t);
        EXECUTE format('GRANT SELECT ON %I TO fillip_api, fillip_worker', t);
    END LOOP;
END $$;
CREATE POLICY find_due ON cohort_chunk FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, content_id, chunk, version, left_at) ON cohort_chunk TO fillip_sweep;
GRANT INSERT, UPDATE (numbered) ON user_numbering TO fillip_api;
GRANT INSERT ON user_number TO fillip_api;
GRANT INSERT, UPDATE (until, left_at) ON cohort_chunk TO fillip_api;
GRANT DELETE ON cohort_chunk TO fillip_worker;

-- The attempts at new versions of cohorts: how far each is, and what came of it. `rejections` are lines as CSV, the first
-- of `rejected`.
ALTER TABLE cohort ADD built_at timestamptz, ADD last_error text;
UPDATE cohort SET built_at = updated_at WHERE version > 0;
CREATE TABLE cohort_build (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    build_id      uuid NOT NULL DEFAULT uuidv7(),
    cohort_id     text NOT NULL CHECK (octet_length(cohort_id) <= 63),
    change        text NOT NULL CHECK (change IN ('replace', 'add', 'remove')),
    state         text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'refused', 'failed')),
    step          text NOT NULL DEFAULT 'matching' CHECK (step IN ('matching', 'numbering', 'writing')),
    lines         bigint NOT NULL,
    numbered      bigint NOT NULL DEFAULT 0,
    to_number     bigint NOT NULL DEFAULT 0,
    rejected      bigint NOT NULL DEFAULT 0,
    duplicates    bigint NOT NULL DEFAULT 0,
    added         bigint NOT NULL DEFAULT 0,
    removed       bigint NOT NULL DEFAULT 0,
    size          bigint,
    version       integer,
    book_version  bigint,
    error         text,
    rejections    text NOT NULL DEFAULT '',
    started_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    PRIMARY KEY (tenant_id, build_id),
    FOREIGN KEY (tenant_id, cohort_id) REFERENCES cohort ON DELETE CASCADE
);
CREATE INDEX cohort_build_of_cohort ON cohort_build (tenant_id, cohort_id, build_id);
ALTER TABLE cohort_build ENABLE ROW LEVEL SECURITY;
ALTER TABLE cohort_build FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON cohort_build TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON cohort_build TO fillip_api;

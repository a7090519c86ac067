-- Backfills; locks nothing that exists but rows of campaign, for the foreign key.

-- A campaign that was launched as of `from_at`: what was received before is decided by it too. `book_version` is the one that the launch
-- made; `ends` has, by partition of the log, the offset from which on workers decide under it, and `until_at` is when that was found.
-- `events_done` of `run` are decided, the last of them at the mark. One that runs is held until `held_until` by the process that took
-- it, as `run_id`; `tries` counts how often one did without deciding anything.
CREATE TABLE backfill (
    tenant_id        text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    campaign_id      text NOT NULL CHECK (octet_length(campaign_id) <= 63),
    from_at          timestamptz NOT NULL,
    book_version     bigint NOT NULL,
    launched_at      timestamptz NOT NULL DEFAULT now(),
    ends             jsonb,
    until_at         timestamptz,
    run              integer NOT NULL DEFAULT 1,
    state            text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    due_at           timestamptz NOT NULL DEFAULT now(),
    begun_at         timestamptz,
    ended_at         timestamptz,
    run_id           uuid,
    held_until       timestamptz,
    tries            integer NOT NULL DEFAULT 0,
    events           bigint,
    events_done      bigint NOT NULL DEFAULT 0,
    mark_received_at timestamptz,
    mark_partition   integer,
    mark_offset      bigint,
    result           jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(result::text) <= 1048576),
    error            text CHECK (octet_length(error) <= 4000),
    PRIMARY KEY (tenant_id, campaign_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign,
    CHECK ((state = 'running') = (held_until IS NOT NULL)),
    CHECK ((ends IS NULL) = (until_at IS NULL)),
    CHECK (num_nulls(mark_received_at, mark_partition, mark_offset) IN (0, 3))
);
CREATE INDEX backfill_open ON backfill (begun_at NULLS FIRST, launched_at) WHERE state IN ('waiting', 'running');

-- The events of before its launch that a campaign was met by: each is decided once, whatever is run how often.
CREATE TABLE backfill_event (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    campaign_id   text NOT NULL CHECK (octet_length(campaign_id) <= 63),
    event_key     uuid NOT NULL,
    run           integer NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, event_key)
);

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['backfill', 'backfill_event'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY one_tenant ON %I TO fillip_api USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('CREATE POLICY batch_tenants ON %I TO fillip_worker
            USING (tenant_id IN (SELECT unnest(string_to_array(current_setting(''app.tenants'', true), '',''))))', t);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON backfill TO fillip_api;
GRANT SELECT, UPDATE ON backfill TO fillip_worker;
GRANT SELECT, INSERT ON backfill_event TO fillip_worker;
CREATE POLICY find_due ON backfill FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, campaign_id, state, due_at, begun_at, launched_at, held_until) ON backfill TO fillip_sweep;

-- A backfill passes over whoever is being erased.
CREATE POLICY batch_tenants ON erasure FOR SELECT TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT SELECT (tenant_id, user_id) ON erasure TO fillip_worker;

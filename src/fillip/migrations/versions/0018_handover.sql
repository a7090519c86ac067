-- Events that wait until a quest's backfill is behind its past. Locks backfill for a moment.

-- Since when workers decide the campaign's events; NULL: they leave them to its backfill. Those that are launched already, they decide.
ALTER TABLE backfill ADD COLUMN handed_over_at timestamptz;
ALTER TABLE backfill NO FORCE ROW LEVEL SECURITY;
UPDATE backfill SET handed_over_at = launched_at;
ALTER TABLE backfill FORCE ROW LEVEL SECURITY;

-- Events that came after the launch, and met the campaign, in the order in which they did: a partition's come in its order, as batches
-- are settled. Each is recorded in event_met, and goes once it has had its turn; one that run `run` could not decide stays for a later one.
CREATE TABLE backfill_waiting (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    campaign_id   text NOT NULL CHECK (octet_length(campaign_id) <= 63),
    number        bigint GENERATED ALWAYS AS IDENTITY,
    event_key     uuid NOT NULL,
    run           integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, campaign_id, number),
    UNIQUE (tenant_id, campaign_id, event_key)
);

ALTER TABLE backfill_waiting ENABLE ROW LEVEL SECURITY;
ALTER TABLE backfill_waiting FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON backfill_waiting FOR SELECT TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY batch_tenants ON backfill_waiting TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT SELECT ON backfill_waiting TO fillip_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON backfill_waiting TO fillip_worker;

-- Reversals in cohorts by events. Locks cohort_tally while it looks through it; its rows stay as they are.

-- Reversals of the log that the tallies don't know of yet: they stay until the workers are past them.
CREATE TABLE cohort_reversal (
    topic         text NOT NULL CHECK (octet_length(topic) <= 249),
    partition     integer NOT NULL,
    "offset"      bigint NOT NULL,
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    event_key     uuid NOT NULL,            -- the original's
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX cohort_reversal_waiting ON cohort_reversal (tenant_id, received_at);

-- A term that is reversed takes twice its place.
ALTER TABLE cohort_tally
    DROP CONSTRAINT cohort_tally_terms_check,
    ADD CONSTRAINT cohort_tally_terms_check CHECK (octet_length(terms) <= 24000);

ALTER TABLE cohort_reversal ENABLE ROW LEVEL SECURITY;
ALTER TABLE cohort_reversal FORCE ROW LEVEL SECURITY;
CREATE POLICY find_reversals ON cohort_reversal TO fillip_cohort USING (true) WITH CHECK (true);
CREATE POLICY one_tenant ON cohort_reversal FOR SELECT TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY counted_tenants ON reversal FOR SELECT TO fillip_cohort
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
CREATE POLICY tell_past ON consumer_position FOR SELECT TO fillip_cohort USING (true);
GRANT SELECT, INSERT, DELETE ON cohort_reversal TO fillip_cohort;
GRANT SELECT ON cohort_reversal TO fillip_api;
GRANT SELECT (tenant_id, user_id, event_key, number, request) ON reversal TO fillip_cohort;
GRANT SELECT (topic, partition, shard, next_offset) ON consumer_position TO fillip_cohort;

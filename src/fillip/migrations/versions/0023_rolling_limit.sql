-- Limits by rolling windows, and what is used in the parts of these; locks spending_limit and limit_counter for a moment.
ALTER TABLE spending_limit DROP CONSTRAINT spending_limit_span_check;
ALTER TABLE spending_limit ADD CONSTRAINT spending_limit_span_check
    CHECK (span IN ('day', 'week', 'month', 'year', 'rolling', 'lifetime'));
ALTER TABLE spending_limit ADD COLUMN rolling_s bigint CHECK (rolling_s BETWEEN 60 AND 31622400);
ALTER TABLE spending_limit ADD CHECK ((rolling_s IS NOT NULL) = (span = 'rolling'));

-- The row of limit_counter has the sum of all of it, and is what batches lock; a user who is forgotten is so here too.
CREATE TABLE limit_part (
    tenant_id     text NOT NULL,
    limit_id      text NOT NULL,
    user_id       text NOT NULL,
    key           text NOT NULL,
    window_start  date NOT NULL,         -- '1970-01-01'
    part          bigint NOT NULL,       -- its number from 1970-01-01 UTC on; how long one is follows from the limit's rolling_s
    used          bigint NOT NULL CHECK (used >= 0),
    PRIMARY KEY (tenant_id, limit_id, user_id, key, window_start, part),
    FOREIGN KEY (tenant_id, limit_id, user_id, key, window_start) REFERENCES limit_counter ON UPDATE CASCADE,
    CHECK (octet_length(tenant_id) <= 63 AND octet_length(limit_id) <= 63),
    CHECK (octet_length(user_id) <= 256 AND octet_length(key) <= 256)
) WITH (fillfactor = 70);
ALTER TABLE limit_part ENABLE ROW LEVEL SECURITY;
ALTER TABLE limit_part FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON limit_part TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY batch_tenants ON limit_part TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT SELECT ON limit_part TO fillip_api;
GRANT SELECT, INSERT, UPDATE ON limit_part TO fillip_worker;

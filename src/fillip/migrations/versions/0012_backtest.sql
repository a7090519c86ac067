-- Backtests; locks nothing that exists but the row of tenant, for its foreign key.

-- What version of a campaign would have granted for events that happened from `first_at` until before `until_at`. One that runs is
-- held until `held_until` by the process that took it, as `run_id`; `tries` counts how often one did.
CREATE TABLE backtest (
    tenant_id     text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    backtest_id   uuid NOT NULL DEFAULT uuidv7(),
    campaign_id   text NOT NULL CHECK (octet_length(campaign_id) <= 63),
    version       integer NOT NULL,
    first_at      timestamptz NOT NULL,
    until_at      timestamptz NOT NULL CHECK (first_at < until_at),
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    asked_at      timestamptz NOT NULL DEFAULT now(),
    begun_at      timestamptz,
    ended_at      timestamptz,
    run_id        uuid,
    held_until    timestamptz,
    tries         integer NOT NULL DEFAULT 0,
    events_done   bigint NOT NULL DEFAULT 0,
    events        bigint,
    result        jsonb CHECK (octet_length(result::text) <= 16777216),
    error         text CHECK (octet_length(error) <= 4000),
    PRIMARY KEY (tenant_id, backtest_id),
    CHECK ((state = 'running') = (held_until IS NOT NULL)),
    CHECK ((state = 'done') = (result IS NOT NULL))
);
CREATE INDEX backtest_open ON backtest (tenant_id, asked_at) WHERE state IN ('waiting', 'running');
CREATE INDEX backtest_old ON backtest (asked_at);

ALTER TABLE backtest ENABLE ROW LEVEL SECURITY;
ALTER TABLE backtest FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON backtest TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON backtest TO fillip_api;
CREATE POLICY find_due ON backtest FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, backtest_id, state, asked_at, begun_at, held_until) ON backtest TO fillip_sweep;

-- Reversals of events, with what each has done. An original that is not known yet has a row in event_met without a
-- fingerprint, which the original fills when it comes; so the original and its reversal meet in either order.
CREATE TABLE reversal (
    tenant_id     text NOT NULL,
    reversal_key  uuid NOT NULL,            -- of tenant, source and id: a reversal is an event too
    reversal_id   text NOT NULL,
    reversal_source text NOT NULL,
    number        bigint GENERATED ALWAYS AS IDENTITY,  -- in the order in which they were settled, for each original
    event_key     uuid NOT NULL,            -- the original's
    event_id      text NOT NULL,
    event_source  text NOT NULL,
    user_id       text NOT NULL,
    request       jsonb NOT NULL,           -- as sent: {event_id, event_source, amount, lines, of, reason}
    state         text NOT NULL CHECK (state IN ('waiting', 'applied', 'nothing', 'refused')),
    reason        text NOT NULL,
    incentives    jsonb NOT NULL,           -- [{incentive_id, value, whole, was}]: what was taken of each
    counters      jsonb NOT NULL,           -- [{limit_id, user_id, key, window_start, version, used_before, amount}]
    share         text,                     -- taken back of the original by then, this one with them, as 'n/d' or '1'
    quests        jsonb NOT NULL,           -- [{campaign_id, instance, was, state, taken}]: instances it was taken out of
    occurred_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at    timestamptz,              -- NULL while it waits
    PRIMARY KEY (tenant_id, reversal_key),
    CHECK ((state = 'waiting') = (decided_at IS NULL)),
    CHECK ((state = 'applied') = (share IS NOT NULL))
);
CREATE INDEX reversal_by_event ON reversal (tenant_id, event_key, number);
CREATE INDEX reversal_applied ON reversal (tenant_id, event_key, number) WHERE state = 'applied';
CREATE INDEX reversal_newest ON reversal (tenant_id, recorded_at, reversal_key);
CREATE INDEX reversal_by_id ON reversal (tenant_id, reversal_id);

-- Lines of originals that were taken back, with what was taken and, where a reversal has told it, the whole of the line:
-- shares of the original, as in `reversal`.
CREATE TABLE reversed_line (
    tenant_id     text NOT NULL,
    event_key     uuid NOT NULL,            -- the original's
    line          text NOT NULL,
    share         text NOT NULL,
    whole         text,
    PRIMARY KEY (tenant_id, event_key, line)
);

GRANT SELECT ON reversal TO fillip_api;
GRANT SELECT, INSERT, UPDATE ON reversal, reversed_line TO fillip_worker;
GRANT UPDATE ON event_met TO fillip_worker;

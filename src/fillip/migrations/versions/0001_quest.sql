-- Goes of users at quests. Of one campaign and user there may be several: by instance_key, then by occurrence.
CREATE TABLE quest_instance (
    tenant_id        text NOT NULL,
    campaign_id      text NOT NULL,
    user_id          text NOT NULL,
    instance_key     text NOT NULL,      -- '' one for each user, id@key of the event that opened it, or a key's value
    occurrence       integer NOT NULL CHECK (occurrence >= 1),  -- of this key
    campaign_version integer NOT NULL,
    state            text NOT NULL CHECK (state IN ('open', 'completed', 'denied', 'lapsed', 'closed', 'reversed')),
    started_at       timestamptz NOT NULL,
    ends_at          timestamptz,
    start_event_key  uuid,
    start_event_id   text,
    start_event_source text,
    start_offset     bigint NOT NULL,    -- place in the log of the event that opened it
    steps            jsonb NOT NULL,     -- [{name, done, needed, total, peak, left}], of a streak also {last, days}
    completed_by     uuid,               -- key of the event that completed it, while it is complete
    start_attributes jsonb,              -- of the event that opened it, where a rule reads them
    route            bigint NOT NULL DEFAULT 0,  -- by which events find it: a hash of what they must know; 0: all do
    revision         bigint NOT NULL DEFAULT 1,  -- counts the writes: of two states the higher one is newer
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, campaign_id, user_id, instance_key, occurrence)
) WITH (fillfactor = 70);  -- counting changes no indexed column: room for it on the same page
CREATE INDEX quest_instance_by_route ON quest_instance (tenant_id, campaign_id, user_id, route) WHERE state = 'open';
CREATE INDEX quest_instance_by_key ON quest_instance (tenant_id, campaign_id, user_id, instance_key)
    WHERE state = 'open';
CREATE INDEX quest_instance_by_end ON quest_instance (tenant_id, campaign_id, user_id, ends_at) WHERE state = 'open';
CREATE INDEX quest_instance_lapsed ON quest_instance (tenant_id, campaign_id, user_id, ends_at) WHERE state = 'lapsed';
CREATE INDEX quest_instance_by_start ON quest_instance (tenant_id, start_event_key);

-- What events gave to steps, and what reversals took of it: the sum of what is left, replayed in order, is how far a
-- step has come.
CREATE TABLE quest_step_met (
    tenant_id        text NOT NULL,
    campaign_id      text NOT NULL,
    user_id          text NOT NULL,
    instance_key     text NOT NULL,
    occurrence       integer NOT NULL,
    step             text NOT NULL,
    event_key        uuid NOT NULL,
    amount           bigint NOT NULL,    -- 1, or the term of the step's sum
    reversed         bigint NOT NULL DEFAULT 0,  -- of the amount
    day              date NOT NULL,      -- of the event, in the tenant's zone
    sequence         bigint GENERATED ALWAYS AS IDENTITY,  -- in the order in which they counted, for each instance
    PRIMARY KEY (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_key),
    CHECK (reversed BETWEEN least(amount, 0) AND greatest(amount, 0))
);
CREATE INDEX quest_step_met_by_event ON quest_step_met (tenant_id, event_key);

GRANT SELECT ON quest_instance, quest_step_met TO fillip_api;
GRANT SELECT ON quest_instance TO fillip_gateway;
GRANT SELECT, INSERT, UPDATE ON quest_instance TO fillip_worker;
GRANT SELECT, INSERT, UPDATE ON quest_step_met TO fillip_worker;

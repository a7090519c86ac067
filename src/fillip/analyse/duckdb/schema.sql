-- The tables of the facts.
-- One row a decision; `partition` is that of its announcement, so that a new snapshot can replace it.
CREATE TABLE IF NOT EXISTS decision_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, decision_id uuid NOT NULL, campaign_id varchar NOT NULL,
    local_day date NOT NULL, user_id varchar NOT NULL, outcome varchar NOT NULL, reason varchar NOT NULL,
    rewards struct(kind varchar, currency varchar, value bigint)[] NOT NULL
);
-- Of the campaign, where it has variants; a file of before gets the column, and knows of none.
ALTER TABLE decision_fact ADD COLUMN IF NOT EXISTS variant varchar;
-- The event's instant, and whether it was decided for an instance of a quest: unknown of what a file of before holds.
ALTER TABLE decision_fact ADD COLUMN IF NOT EXISTS occurred_at timestamptz;
ALTER TABLE decision_fact ADD COLUMN IF NOT EXISTS of_quest boolean;
-- Whether the campaign was in shadow: no one was before there was the column.
ALTER TABLE decision_fact ADD COLUMN IF NOT EXISTS shadow boolean;
-- One row each time something was taken of an incentive; it counts on the day of the decision that granted it.
CREATE TABLE IF NOT EXISTS reversal_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, decision_id uuid NOT NULL, kind varchar NOT NULL,
    currency varchar, value bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS rejection_fact (
    partition integer NOT NULL, tenant_id varchar, rejection_id uuid NOT NULL, day date NOT NULL, reason varchar NOT NULL
);
-- One row a transfer of points, from one account to another.
CREATE TABLE IF NOT EXISTS transfer_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, currency varchar NOT NULL, kind varchar NOT NULL,
    debit varchar NOT NULL, credit varchar NOT NULL, amount bigint NOT NULL, made_at timestamptz NOT NULL
);
-- One row a change of what remains of a lot of points, and when that lot expires; `is_later` are those of `wallet.drawn`.
CREATE TABLE IF NOT EXISTS lot_fact (
    partition integer NOT NULL, is_later boolean NOT NULL, tenant_id varchar NOT NULL, currency varchar NOT NULL,
    expires_at timestamptz, change bigint NOT NULL, made_at timestamptz NOT NULL
);
-- One row an instance of a quest, as it stands; `instance_id` is a hash of its key.
CREATE TABLE IF NOT EXISTS quest_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, campaign_id varchar NOT NULL, user_id varchar NOT NULL,
    instance_id uuid NOT NULL, campaign_version integer NOT NULL, state varchar NOT NULL, started_at timestamptz NOT NULL,
    ends_at timestamptz, revision bigint NOT NULL,
    steps struct(name varchar, done bigint, needed bigint, met_at timestamptz)[] NOT NULL
);
-- One row a granted incentive, with the times of its way; `claimed_at` is known of those that a snapshot brought.
CREATE TABLE IF NOT EXISTS grant_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, campaign_id varchar NOT NULL,
    incentive_id uuid NOT NULL, occurred_at timestamptz, received_at timestamptz, granted_at timestamptz NOT NULL,
    committed_at timestamptz, claimed_at timestamptz
);
-- When one was claimed, and when the user's client acknowledged it: each may be told before the incentive is, and says of which campaign
-- that is and when it was granted; not so what a file of before holds, and acks of before.
CREATE TABLE IF NOT EXISTS claim_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, incentive_id uuid NOT NULL, claimed_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS ack_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, incentive_id uuid NOT NULL, acked_at timestamptz NOT NULL
);
ALTER TABLE claim_fact ADD COLUMN IF NOT EXISTS campaign_id varchar;
ALTER TABLE claim_fact ADD COLUMN IF NOT EXISTS granted_at timestamptz;
ALTER TABLE ack_fact ADD COLUMN IF NOT EXISTS campaign_id varchar;
ALTER TABLE ack_fact ADD COLUMN IF NOT EXISTS granted_at timestamptz;
-- One row a change of a limit, and one a change of a tenant: the newest counts.
CREATE TABLE IF NOT EXISTS limit_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, limit_id varchar NOT NULL, book_version bigint NOT NULL,
    deleted boolean NOT NULL, scope varchar, measure varchar, span varchar, split boolean NOT NULL, cap bigint
);
ALTER TABLE limit_fact ADD COLUMN IF NOT EXISTS week_starts_on varchar;
CREATE TABLE IF NOT EXISTS zone_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, book_version bigint NOT NULL, time_zone varchar NOT NULL
);
-- One row a counter that users share, as it stands; and one for what was used of a limit and key in each hour.
CREATE TABLE IF NOT EXISTS counter_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, limit_id varchar NOT NULL, key varchar NOT NULL,
    window_start date NOT NULL, used bigint NOT NULL, version bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS use_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, limit_id varchar NOT NULL, key varchar NOT NULL,
    hour timestamptz NOT NULL, used bigint NOT NULL
);
-- One row a change of a user's level, whose user is not kept.
CREATE TABLE IF NOT EXISTS level_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, currency varchar NOT NULL, direction varchar NOT NULL,
    from_level varchar NOT NULL, to_level varchar NOT NULL, changed_at timestamptz NOT NULL
);
-- Moves in the transaction that loads what it counts: each announcement once, whatever is killed when.
CREATE TABLE IF NOT EXISTS loaded (
    topic varchar NOT NULL, partition integer NOT NULL, next_offset bigint NOT NULL, epoch varchar NOT NULL,
    commit_lsn bigint NOT NULL, index bigint NOT NULL, PRIMARY KEY (topic, partition)
);
-- The newest of each tenant that was loaded.
CREATE TABLE IF NOT EXISTS tenant_mark (tenant_id varchar PRIMARY KEY, committed_at_us bigint NOT NULL);
-- Announcements that could not be loaded: for the operator, who finds the whole of each in its topic.
CREATE TABLE IF NOT EXISTS set_aside (
    topic varchar NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL, error varchar NOT NULL,
    value blob NOT NULL, set_aside_at timestamptz NOT NULL DEFAULT now()
);
-- Rows for SQL, of each kind those that stand in no day file yet. Whole days of a tenant go to Parquet, see `day_file`.
-- The first receipt of each event that was not rejected; `data` is its JSON, `day` the UTC day on which it happened.
CREATE TABLE IF NOT EXISTS event_row (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, loaded_at timestamptz NOT NULL,
    log_offset bigint NOT NULL, event_key uuid NOT NULL, source varchar NOT NULL, id varchar NOT NULL,
    user_id varchar NOT NULL, action varchar NOT NULL, occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL, data varchar NOT NULL
);
CREATE TABLE IF NOT EXISTS decision_row (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, loaded_at timestamptz NOT NULL,
    decision_id uuid NOT NULL, campaign_id varchar NOT NULL, campaign_version integer, event_id varchar,
    event_source varchar, user_id varchar NOT NULL, instance varchar, outcome varchar NOT NULL, reason varchar NOT NULL,
    outranked_by varchar, occurred_at timestamptz, decided_at timestamptz,
    rewards struct(kind varchar, currency varchar, value bigint)[] NOT NULL
);
CREATE TABLE IF NOT EXISTS incentive_row (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, loaded_at timestamptz NOT NULL,
    incentive_id uuid NOT NULL, decision_id uuid NOT NULL, campaign_id varchar NOT NULL, event_id varchar,
    event_source varchar, user_id varchar NOT NULL, kind varchar NOT NULL, value bigint NOT NULL, currency varchar,
    occurred_at timestamptz, granted_at timestamptz NOT NULL, expires_at timestamptz
);
CREATE TABLE IF NOT EXISTS reversal_row (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, loaded_at timestamptz NOT NULL,
    incentive_id uuid NOT NULL, decision_id uuid NOT NULL, campaign_id varchar NOT NULL, user_id varchar NOT NULL,
    kind varchar NOT NULL, value bigint NOT NULL, currency varchar, reason varchar, changed_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS rejection_row (
    partition integer NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, loaded_at timestamptz NOT NULL,
    rejection_id uuid NOT NULL, reason varchar NOT NULL, detail varchar, event_id varchar, event_source varchar,
    received_at timestamptz NOT NULL
);
-- A Parquet file below the folder of the bay. What a snapshot has replaced since are its rows of the `void` partitions.
CREATE TABLE IF NOT EXISTS day_file (
    path varchar NOT NULL, kind varchar NOT NULL, tenant_id varchar NOT NULL, day date NOT NULL, row_count bigint NOT NULL,
    newest timestamptz NOT NULL, void integer[] NOT NULL, replaced_at timestamptz
);
-- The names of all events that are held, and where the one that counts was received.
CREATE TABLE IF NOT EXISTS event_key (
    day date NOT NULL, event_key uuid NOT NULL, tenant_id varchar NOT NULL, partition integer NOT NULL,
    log_offset bigint NOT NULL, received_at timestamptz NOT NULL
);
-- What was received again: it counts after all where the first receipt turns out to be rejected.
CREATE TABLE IF NOT EXISTS event_repeat AS FROM event_row LIMIT 0;
-- Where rejected events were received; and of those that stand in day files already, whose they are.
CREATE TABLE IF NOT EXISTS event_rejected (
    partition integer NOT NULL, log_offset bigint NOT NULL, received_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS event_struck (
    tenant_id varchar NOT NULL, partition integer NOT NULL, log_offset bigint NOT NULL, received_at timestamptz NOT NULL
);

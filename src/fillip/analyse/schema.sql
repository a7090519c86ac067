-- The tables of the facts.
-- One row a decision; `partition` is that of its announcement, so that a new snapshot can replace it.
CREATE TABLE IF NOT EXISTS decision_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, decision_id uuid NOT NULL, campaign_id varchar NOT NULL,
    local_day date NOT NULL, user_id varchar NOT NULL, outcome varchar NOT NULL, reason varchar NOT NULL,
    rewards struct(kind varchar, currency varchar, value bigint)[] NOT NULL
);
-- Of the campaign, where it has variants; a file of before gets the column, and knows of none.
ALTER TABLE decision_fact ADD COLUMN IF NOT EXISTS variant varchar;
-- One row each time something was taken of an incentive; it counts on the day of the decision that granted it.
CREATE TABLE IF NOT EXISTS reversal_fact (
    partition integer NOT NULL, tenant_id varchar NOT NULL, decision_id uuid NOT NULL, kind varchar NOT NULL,
    currency varchar, value bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS rejection_fact (
    partition integer NOT NULL, tenant_id varchar, rejection_id uuid NOT NULL, day date NOT NULL, reason varchar NOT NULL
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

-- Makes the one table, where it is missing. One table, since one INSERT of one block into one table is all that happens whole or not at all.
-- `kind` tells what a row is. What happened once and for all: decision, reversal, rejection, transfer, drawn (what lots gave later), grant,
-- limit and zone (a change of one), level (a change of a user's, from level `debit` to `credit`).
-- What stands, the newest of each key: claim, ack, quest (an instance), counter, use (of a counter in an hour). Its `version` is first the load
-- with which the newest snapshot began, since numbers of a database that was set back are lower ones; then the row's revision.
-- Besides: mark, the newest announcement of a tenant; position, how far all is loaded. Of rows with the same sorting key that of the highest
-- `version` stays; of what happened once the `id` is its place (`load`, `number`), so that all stay.
-- Days count from 1970-01-01, instants in microseconds from then: Date32 and DateTime64 end in 2299. `made_us` is when it was: of a grant when
-- decided, of an instance when it began, of a use the hour.
CREATE TABLE IF NOT EXISTS fact (
    kind LowCardinality(String), tenant_id String, campaign_id String, currency String, limit_id String, day Int32, id UUID,
    load UInt64, number UInt32, version UInt128, partition Int32,
    decision_id UUID, user_id String, outcome LowCardinality(String), reason LowCardinality(String),
    variant Nullable(String), occurred_us Nullable(Int64), decided_us Nullable(Int64), of_quest Nullable(Bool), shadow Bool,
    rewards Array(Tuple(kind String, currency Nullable(String), value Int64)),
    movement LowCardinality(String), debit LowCardinality(String), credit LowCardinality(String), amount Int64, made_us Int64,
    incentive_id UUID, received_us Nullable(Int64), committed_us Nullable(Int64), claimed_us Nullable(Int64), ends_us Nullable(Int64),
    revision UInt64, campaign_version Int32, steps Array(Tuple(name String, done Int64, needed Int64, met_us Nullable(Int64))),
    key String, scope LowCardinality(String), measure LowCardinality(String), span LowCardinality(String), split Bool, deleted Bool,
    time_zone LowCardinality(String), state String,
    lots Array(Tuple(expires_us Nullable(Int64), change Int64))
) ENGINE = ReplacingMergeTree(version) ORDER BY (kind, tenant_id, campaign_id, currency, limit_id, day, id)
SETTINGS non_replicated_deduplication_window = 10000

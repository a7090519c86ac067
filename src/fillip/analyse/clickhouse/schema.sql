-- Makes the one table, where it is missing. One table, since one INSERT of one block into one table is all that happens whole or not at all.
-- `kind` tells what a row is: decision, reversal, rejection, transfer; mark, the newest announcement of a tenant; position, how far all is loaded.
-- Of marks and positions the row of the highest `version` stays; facts have a place of their own (`load`, `number`) and all stay.
-- Days count from 1970-01-01, instants in microseconds from then: Date32 and DateTime64 end in 2299.
CREATE TABLE IF NOT EXISTS fact (
    kind LowCardinality(String), tenant_id String, campaign_id String, currency String, day Int32,
    load UInt64, number UInt32, version UInt64, partition Int32,
    decision_id UUID, user_id String, outcome LowCardinality(String), reason LowCardinality(String),
    variant Nullable(String), occurred_us Nullable(Int64), decided_us Nullable(Int64), of_quest Nullable(Bool), shadow Bool,
    rewards Array(Tuple(kind String, currency Nullable(String), value Int64)),
    movement LowCardinality(String), debit LowCardinality(String), credit LowCardinality(String), amount Int64, made_us Int64,
    state String
) ENGINE = ReplacingMergeTree(version) ORDER BY (kind, tenant_id, campaign_id, currency, day, load, number)
SETTINGS non_replicated_deduplication_window = 10000

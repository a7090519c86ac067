-- Makes the table of announcements that could not be loaded: for the operator, who finds the whole of each in its topic.
CREATE TABLE IF NOT EXISTS set_aside (
    topic String, partition Int32, record_offset Int64, error String, value String, set_aside_at DateTime DEFAULT now()
) ENGINE = ReplacingMergeTree ORDER BY (topic, partition, record_offset)

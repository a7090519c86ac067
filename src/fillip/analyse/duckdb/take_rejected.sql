-- Reads where newly rejected events were received into `rejected_now`.
CREATE OR REPLACE TEMP TABLE rejected_now AS
SELECT DISTINCT n.* FROM (
    SELECT r.message.after.partition AS partition, r.message.after.log_offset AS log_offset,
           r.message.after.received_at AS received_at
    FROM (SELECT unnest(from_json($1::json, '[{"message": {"after": {
        "partition": "INTEGER", "log_offset": "BIGINT", "received_at": "TIMESTAMPTZ"}}}]')) AS r)
) n ANTI JOIN event_rejected x USING (partition, log_offset, received_at)

-- What was received again under these names, of each the first, into `incoming`.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * FROM event_repeat SEMI JOIN struck_now USING (day, event_key)
QUALIFY row_number() OVER (PARTITION BY day, event_key ORDER BY received_at, partition, log_offset) = 1

-- The events that counted until they turned out to be rejected, into `struck_now`.
CREATE OR REPLACE TEMP TABLE struck_now AS
SELECT k.*, e.event_key IS NULL AS filed FROM (SELECT * FROM event_key SEMI JOIN rejected_now USING (partition, log_offset, received_at)) k
LEFT JOIN (SELECT * FROM event_row SEMI JOIN rejected_now USING (partition, log_offset, received_at)) e
USING (partition, log_offset, received_at)

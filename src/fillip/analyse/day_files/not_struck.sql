-- Events of a file that count.
SELECT * FROM filed ANTI JOIN event_struck USING (partition, log_offset, received_at)

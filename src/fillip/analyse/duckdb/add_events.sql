-- Adds those of `incoming` whose name is not held yet, of each name the first receipt.
INSERT INTO event_row BY NAME
SELECT * FROM incoming i ANTI JOIN event_key k ON k.day = i.day AND k.event_key = i.event_key
QUALIFY row_number() OVER (PARTITION BY i.day, i.event_key ORDER BY i.received_at, i.partition, i.log_offset) = 1

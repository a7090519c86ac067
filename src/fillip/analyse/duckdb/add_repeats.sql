-- Keeps the others of `incoming` aside. Runs after add_events.
INSERT INTO event_repeat BY NAME
SELECT * FROM incoming i ANTI JOIN (SELECT * FROM event_row SEMI JOIN incoming USING (day, event_key)) e
ON e.partition = i.partition AND e.log_offset = i.log_offset AND e.received_at = i.received_at

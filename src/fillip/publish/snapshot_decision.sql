-- All decisions, in the order in which they were made. Locks nothing.
SELECT * FROM decision ORDER BY partition, log_offset, decision_id

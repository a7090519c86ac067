SELECT * FROM decision ORDER BY partition, log_offset, decision_id

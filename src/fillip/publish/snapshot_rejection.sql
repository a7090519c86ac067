SELECT * FROM rejection ORDER BY topic, partition, log_offset

-- Keeps a record that can't be loaded.
INSERT INTO set_aside (topic, partition, record_offset, error, value) VALUES ($1, $2, $3, $4, $5)

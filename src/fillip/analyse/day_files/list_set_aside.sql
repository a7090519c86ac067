-- What could not be loaded, by place.
SELECT topic, partition, record_offset, value FROM set_aside

-- All rejections, in the order of the log. Locks nothing.
SELECT * FROM rejection ORDER BY topic, partition, log_offset

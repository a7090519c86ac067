-- How far each partition is loaded.
SELECT topic, partition, next_offset, epoch, commit_lsn, index FROM loaded

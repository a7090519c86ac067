SELECT topic, partition, next_offset, epoch, commit_lsn, index FROM loaded

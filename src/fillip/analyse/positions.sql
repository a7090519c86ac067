SELECT topic, partition, next_offset, epoch, commit_lsn, index, committed_at_us FROM loaded

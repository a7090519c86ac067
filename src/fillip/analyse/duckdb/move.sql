-- Stores how far a partition is loaded.
INSERT INTO loaded VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (topic, partition) DO UPDATE SET
    next_offset = excluded.next_offset, epoch = excluded.epoch, commit_lsn = excluded.commit_lsn,
    index = excluded.index

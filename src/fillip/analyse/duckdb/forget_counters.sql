-- Removes the counters of a partition, for a new snapshot.
DELETE FROM counter_fact WHERE partition = $1

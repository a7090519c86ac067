-- Removes the limits of a partition, for a new snapshot.
DELETE FROM limit_fact WHERE partition = $1

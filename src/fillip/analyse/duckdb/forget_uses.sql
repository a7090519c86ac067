-- Removes the hours of limits of a partition, for a new snapshot.
DELETE FROM use_fact WHERE partition = $1

-- Removes the deliveries of a partition, for a new snapshot.
DELETE FROM ack_fact WHERE partition = $1

-- Removes the quest instances of a partition, for a new snapshot.
DELETE FROM quest_fact WHERE partition = $1

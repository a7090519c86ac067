-- Forgets the changes of levels of one partition: a new snapshot replaces them.
DELETE FROM level_fact WHERE partition = $1

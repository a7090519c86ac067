-- Forgets the transfers of one partition: a new snapshot replaces them.
DELETE FROM transfer_fact WHERE partition = $1

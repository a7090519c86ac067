-- What day files of a kind hold of one partition counts no longer: a snapshot puts it anew.
UPDATE day_file SET void = list_append(void, $2) WHERE kind = $1 AND replaced_at IS NULL AND NOT list_contains(void, $2)

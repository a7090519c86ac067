-- Some parts of a list that no cohort names yet. $1 tenant, $2 list, $3 up to, without, $4.
INSERT INTO cohort_part (tenant_id, content_id, first_id, members)
SELECT $1, $2, first_id, members FROM staged_part WHERE number >= $3 AND number < $4 ORDER BY number

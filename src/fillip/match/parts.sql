-- The next parts of a list of members, in the order of their first ids. Locks nothing.
SELECT first_id, convert_to(E'\n' || members || E'\n', 'UTF8') AS members FROM cohort_part
WHERE tenant_id = $1 AND content_id = $2 AND first_id > $3
ORDER BY first_id LIMIT $4

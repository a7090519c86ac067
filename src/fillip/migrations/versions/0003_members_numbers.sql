-- Of each list of before that is in force, the numbers of its users, chunk by chunk. Locks nothing.
SELECT c.tenant_id, c.content_id, c.version, n.number >> 16 AS chunk, array_agg(n.number) AS numbers
FROM cohort c JOIN cohort_part p USING (tenant_id, content_id)
CROSS JOIN LATERAL string_to_table(p.members, E'\n') AS m (user_id)
JOIN user_number n ON n.tenant_id = c.tenant_id AND n.user_id = m.user_id COLLATE "C"
GROUP BY c.tenant_id, c.content_id, c.version, chunk

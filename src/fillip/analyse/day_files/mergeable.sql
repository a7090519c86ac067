-- Days of tenants with many small files.
SELECT kind, tenant_id, day FROM day_file WHERE replaced_at IS NULL AND row_count < $rows / 4
GROUP BY ALL HAVING count(*) >= $many ORDER BY count(*) DESC LIMIT $most

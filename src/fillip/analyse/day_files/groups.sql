-- Days of tenants whose rows are many, or have waited for long: the largest first.
SELECT tenant_id, day, count(*) AS row_count FROM query_table($source) GROUP BY ALL
HAVING count(*) >= $many OR min(loaded_at) < now() - to_seconds($wait_s) ORDER BY row_count DESC LIMIT $most

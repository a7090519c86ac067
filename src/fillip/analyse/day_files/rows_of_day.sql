-- A tenant's rows of a day that stand in no file.
SELECT * EXCLUDE (tenant_id, loaded_at) FROM query_table($source) WHERE tenant_id = $tenant_id AND day = $day

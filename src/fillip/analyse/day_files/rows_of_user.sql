-- Rows of a table that may be the erased user's.
SELECT * FROM query_table($source) WHERE tenant_id = $tenant_id AND user_id = $user_id

-- From now on this file of events counts.
INSERT INTO day_file
SELECT $path, $kind, $tenant_id, $day, count(*), max(received_at), [], NULL FROM read_parquet($file)

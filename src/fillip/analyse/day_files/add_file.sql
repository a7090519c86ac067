-- From now on this file counts; it stays as long as the ledger does.
INSERT INTO day_file
SELECT $path, $kind, $tenant_id, $day, count(*), 'infinity', [], NULL FROM read_parquet($file)

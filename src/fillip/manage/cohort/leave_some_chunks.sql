-- As leave_chunks.sql, of several lists. Locks the chunks until the commit.
UPDATE cohort_chunk k SET until = gone.version, left_at = now()
FROM unnest(CAST(:content_ids AS uuid[]), CAST(:chunks AS int[]), CAST(:versions AS int[])) AS gone (content_id, chunk, version)
WHERE k.tenant_id = :tenant_id AND k.content_id = gone.content_id AND k.chunk = gone.chunk AND k.until IS NULL AND k.left_at IS NULL

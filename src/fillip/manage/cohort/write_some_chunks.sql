-- As write_chunks.sql, of several lists. Locks nothing: nobody reads them before the commit.
INSERT INTO cohort_chunk (tenant_id, content_id, chunk, version, members)
SELECT :tenant_id, given.content_id, given.chunk, given.version, given.members
FROM unnest(CAST(:content_ids AS uuid[]), CAST(:chunks AS int[]), CAST(:versions AS int[]), CAST(:members AS bytea[]))
    AS given (content_id, chunk, version, members)

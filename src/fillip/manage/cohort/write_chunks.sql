-- The chunks of a list that are new at a version. Locks nothing: nobody reads them before the commit.
INSERT INTO cohort_chunk (tenant_id, content_id, chunk, version, members)
SELECT :tenant_id, :content_id, given.chunk, :version, given.members
FROM unnest(CAST(:chunks AS int[]), CAST(:members AS bytea[])) AS given (chunk, members)

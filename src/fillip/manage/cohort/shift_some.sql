-- Some cohorts, whose rows are locked, have the next versions of their lists; their definitions stay at their revisions.
UPDATE cohort c SET version = n.version, size = n.size, octets = n.octets, built_at = now()
FROM unnest(CAST(:cohort_ids AS text[]), CAST(:versions AS int[]), CAST(:sizes AS bigint[]), CAST(:octets AS bigint[]))
    AS n (cohort_id, version, size, octets)
WHERE c.tenant_id = :tenant_id AND c.cohort_id = n.cohort_id

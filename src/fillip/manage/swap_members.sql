-- Five statements, told apart by blank lines: stage, count, drop, add, bump. $1 tenant, $2 cohort, $3 size.
CREATE TEMP TABLE staged_member (user_id text COLLATE "C" NOT NULL) ON COMMIT DROP;
SET LOCAL statement_timeout = '600s'

SELECT count(DISTINCT user_id) FROM staged_member

DELETE FROM cohort_member m
WHERE m.tenant_id = $1 AND m.cohort_id = $2 AND NOT EXISTS (SELECT FROM staged_member s WHERE s.user_id = m.user_id)

INSERT INTO cohort_member (tenant_id, cohort_id, user_id)
SELECT DISTINCT $1, $2, user_id FROM staged_member
ON CONFLICT DO NOTHING

UPDATE cohort SET version = version + 1, size = $3, revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND cohort_id = $2

-- Cohorts whose list is what a query selects, again and again. Locks cohort and cohort_build for a moment: only the rows of combined cohorts are rewritten.

-- `query_revision` counts the definitions. The next run is due at `next_run_at`; `build_id` is that of the run that goes on, whose
-- process holds it until `held_until`, or of one that is asked for and held by nobody. The last one began at `begun_at`, and `failures` have
-- failed since one succeeded. The list in force is of rows up to an event received at `received_at` and a decision of `committed_at`.
ALTER TABLE cohort
    ADD kind text NOT NULL DEFAULT 'uploaded' CONSTRAINT cohort_kind_check CHECK (kind IN ('uploaded', 'sql', 'combined')),
    ADD sql text CONSTRAINT cohort_sql_check CHECK (octet_length(sql) <= 80000),
    ADD every_minutes integer CONSTRAINT cohort_every_minutes_check CHECK (every_minutes BETWEEN 5 AND 44640),
    ADD cron text CONSTRAINT cohort_cron_check CHECK (octet_length(cron) <= 100),
    ADD query_revision integer NOT NULL DEFAULT 0,
    ADD next_run_at timestamptz,
    ADD build_id uuid,
    ADD held_until timestamptz,
    ADD begun_at timestamptz,
    ADD failures integer NOT NULL DEFAULT 0,
    ADD received_at timestamptz,
    ADD committed_at timestamptz,
    ADD CONSTRAINT cohort_query_check CHECK (
        CASE kind
            WHEN 'sql' THEN sql IS NOT NULL AND next_run_at IS NOT NULL AND num_nonnulls(every_minutes, cron) = 1
            ELSE num_nonnulls(sql, every_minutes, cron, next_run_at, build_id, held_until) = 0
        END);
ALTER TABLE cohort NO FORCE ROW LEVEL SECURITY;
UPDATE cohort SET kind = 'combined' WHERE combination IS NOT NULL;
ALTER TABLE cohort FORCE ROW LEVEL SECURITY;
ALTER TABLE cohort
    ADD CONSTRAINT cohort_combination_check CHECK ((kind = 'combined') = (combination IS NOT NULL));
CREATE INDEX cohort_due ON cohort (next_run_at) WHERE kind = 'sql';
CREATE INDEX cohort_run ON cohort (tenant_id) WHERE kind = 'sql';

ALTER TABLE cohort_build
    ADD query_revision integer,
    DROP CONSTRAINT cohort_build_step_check,
    ADD CONSTRAINT cohort_build_step_check CHECK (step IN ('waiting', 'querying', 'matching', 'numbering', 'writing'));

CREATE POLICY find_due ON cohort FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, cohort_id, kind, next_run_at, held_until, begun_at) ON cohort TO fillip_sweep;

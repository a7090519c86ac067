-- Of which cohorts one is made, as a combination; NULL for a list of its own. Locks the cohorts for a moment.
ALTER TABLE cohort ADD COLUMN combination jsonb;

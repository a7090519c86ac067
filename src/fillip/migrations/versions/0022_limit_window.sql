-- Limits by the year, and by weeks that begin on another day than Monday; locks spending_limit for a moment.
ALTER TABLE spending_limit DROP CONSTRAINT spending_limit_span_check;
ALTER TABLE spending_limit ADD CONSTRAINT spending_limit_span_check
    CHECK (span IN ('day', 'week', 'month', 'year', 'lifetime'));
ALTER TABLE spending_limit ADD COLUMN week_starts_on text CHECK (
    week_starts_on IS NULL
    OR (span = 'week' AND week_starts_on IN ('monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'))
);

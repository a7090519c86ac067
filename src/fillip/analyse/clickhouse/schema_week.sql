-- Adds to the table of before there were weeks from other days than Monday the day on which those of a limit begin; '' is Monday.
ALTER TABLE fact ADD COLUMN IF NOT EXISTS week_starts_on LowCardinality(String)

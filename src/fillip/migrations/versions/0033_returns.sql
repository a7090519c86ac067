-- What asking again for an original's incentives came to, by then; locks reversal for a moment.
-- [{incentive_id, met, worth, taken, whole}]: of each that parts ask for again, also what earlier reversals found; NULL where none was.
ALTER TABLE reversal ADD COLUMN reevaluations jsonb;

-- Decisions, each with whether it is the erased user's.
SELECT f.*, user_id = of_user AND coalesce(decided_at <= of_cut, true) AS mine FROM filed f CROSS JOIN erasing

-- Incentives, each with whether it is the erased user's.
SELECT f.*, user_id = of_user AND granted_at <= of_cut AS mine FROM filed f CROSS JOIN erasing

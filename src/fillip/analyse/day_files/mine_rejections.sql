-- Rejections, each with whether it is the erased user's.
SELECT f.*, rejection_id IN (SELECT rejection_id FROM erasing_rejection) AND detail IS DISTINCT FROM 'erased' AS mine FROM filed f

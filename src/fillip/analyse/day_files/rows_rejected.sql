-- Rejections that stand in no file and are the erased user's.
SELECT r.* FROM rejection_row r SEMI JOIN erasing_rejection USING (rejection_id) WHERE tenant_id = $tenant_id

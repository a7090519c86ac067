-- Rejections of the user who is being erased: they are written anew.
DELETE FROM rejection_row WHERE tenant_id = $tenant_id AND rejection_id IN (SELECT rejection_id FROM erasing_rejection)

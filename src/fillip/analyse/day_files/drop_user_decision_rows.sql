-- Rows of the user, who is being erased: they are written anew.
DELETE FROM decision_row WHERE tenant_id = $tenant_id AND user_id = $user_id

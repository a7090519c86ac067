-- The numbers of these users, of those that have one. Locks nothing.
SELECT user_id, number FROM user_number WHERE tenant_id = :tenant_id AND user_id = ANY (:users)

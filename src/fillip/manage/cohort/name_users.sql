-- The users of these numbers, in the order of the numbers. Locks nothing.
SELECT number, user_id FROM user_number WHERE tenant_id = :tenant_id AND number = ANY (:numbers) ORDER BY number

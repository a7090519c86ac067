-- The next users of a tenant, by id, who were granted anything. Locks nothing.
SELECT user_id FROM incentive WHERE tenant_id = %(tenant)s AND user_id > %(after)s GROUP BY user_id ORDER BY user_id LIMIT %(most)s

-- Up to 1,000 users at once; created = the row is new (xmax is 0 only where nothing was updated).
INSERT INTO end_user (tenant_id, user_id, attributes)
SELECT :tenant_id, given.user_id, given.attributes::jsonb
FROM unnest(:user_ids, :attributes) AS given (user_id, attributes)
ON CONFLICT (tenant_id, user_id) DO UPDATE
    SET attributes = excluded.attributes, revision = end_user.revision + 1, updated_at = now()
RETURNING user_id, xmax = 0 AS created

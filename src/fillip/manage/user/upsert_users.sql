-- Stores up to 1,000 users at once, and locks them in the order given until the commit. created = the row is new (xmax is
-- 0 only where nothing was updated), grown = by how many bytes of JSON.
INSERT INTO end_user (tenant_id, user_id, attributes, time_zone)
SELECT :tenant_id, given.user_id, given.attributes::jsonb, given.time_zone
FROM unnest(:user_ids, :attributes, :time_zones) AS given (user_id, attributes, time_zone)
ON CONFLICT (tenant_id, user_id) DO UPDATE
    SET attributes = excluded.attributes, time_zone = excluded.time_zone, revision = end_user.revision + 1, updated_at = now()
RETURNING new.user_id, new.xmax = 0 AS created,
    octet_length(new.attributes::text) - coalesce(octet_length(old.attributes::text), 0) AS grown

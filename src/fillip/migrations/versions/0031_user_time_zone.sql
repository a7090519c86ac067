-- Users may have a time zone of their own, and limits go by its days. Locks the tables of users and limits for a moment.
ALTER TABLE end_user ADD COLUMN time_zone text CHECK (octet_length(time_zone) <= 64);  -- IANA; NULL: the tenant's
ALTER TABLE spending_limit ADD COLUMN zone text NOT NULL DEFAULT 'tenant' CHECK (
    zone = 'tenant'  -- whose days make a window
    OR (zone = 'user' AND scope IN ('user', 'user_in_campaign') AND span NOT IN ('rolling', 'lifetime'))
);

-- Uses of limits as a decision has them: keys of those limits that count for one user, and the user's own time zone.
CREATE OR REPLACE FUNCTION erase_uses(uses jsonb, own_limits text[], salt uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(
        CASE WHEN u ->> 'limit_id' = ANY (own_limits)
            THEN u - 'time_zone' || jsonb_build_object('key', erase_text(u ->> 'key', salt)) ELSE u END ORDER BY place), '[]')
    FROM jsonb_array_elements(uses) WITH ORDINALITY AS e (u, place)
$$;

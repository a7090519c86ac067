-- Cohorts: sets of users, replaced whole. A list is written under an id of its own, portion by portion, and comes into
-- force when its cohort names it; so no transaction is long, and nothing of it is seen before.

CREATE TABLE cohort (
    tenant_id     text NOT NULL REFERENCES tenant,
    cohort_id     text NOT NULL CHECK (cohort_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name          text NOT NULL,
    version       integer NOT NULL DEFAULT 0,
    content_id    uuid,                  -- the list in force; NULL: no members yet
    size          bigint NOT NULL DEFAULT 0,
    octets        bigint NOT NULL DEFAULT 0,  -- of its parts
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cohort_id)
);

-- Each list that has been written, or is being. `is_left` once no cohort names it any more: the sweep removes it then,
-- and one that was begun long ago and never came into force.
CREATE TABLE cohort_content (
    tenant_id     text NOT NULL REFERENCES tenant,
    content_id    uuid NOT NULL DEFAULT uuidv7(),
    is_in_force   boolean NOT NULL DEFAULT false,
    is_left       boolean NOT NULL DEFAULT false,
    made_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, content_id),
    CHECK (NOT (is_in_force AND is_left))
);
CREATE INDEX cohort_content_idle ON cohort_content (made_at) WHERE NOT is_in_force;

-- The users of a list, some 2,000 bytes of ids a row: sorted by their bytes, a line feed between two. No id holds one.
-- Without a foreign key to its list: a check a row for nothing, since parts are written and removed by their list alone.
CREATE TABLE cohort_part (
    tenant_id     text NOT NULL,
    content_id    uuid NOT NULL,
    first_id      text COLLATE "C" NOT NULL,
    members       text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, content_id, first_id)
);

-- The cohorts that a user is in, looked up part by part. The caller's row-level security holds.
CREATE FUNCTION list_cohorts(of_tenant text, of_user text) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(c.cohort_id ORDER BY c.cohort_id), '{}')
    FROM cohort c CROSS JOIN LATERAL (
        SELECT p.members FROM cohort_part p
        WHERE p.tenant_id = c.tenant_id AND p.content_id = c.content_id AND p.first_id <= of_user
        ORDER BY p.first_id DESC LIMIT 1
    ) found
    WHERE c.tenant_id = of_tenant AND of_user = ANY (string_to_array(found.members, E'\n'))
$$;

-- The next users of a list behind `after`, by the bytes of their ids: reads the parts of one page, no more.
CREATE FUNCTION list_members(of_tenant text, of_content uuid, after text, most integer)
RETURNS TABLE (user_id text) LANGUAGE sql STABLE AS $$
    SELECT m.user_id
    FROM cohort_part p CROSS JOIN LATERAL string_to_table(p.members, E'\n') AS m (user_id)
    WHERE p.tenant_id = of_tenant AND p.content_id = of_content
      AND p.first_id >= coalesce((
          SELECT max(b.first_id) FROM cohort_part b
          WHERE b.tenant_id = of_tenant AND b.content_id = of_content AND b.first_id <= after COLLATE "C"), '')
      AND m.user_id > after COLLATE "C"
    ORDER BY p.first_id, m.user_id COLLATE "C"
    LIMIT most
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON cohort TO fillip_api;
GRANT SELECT, INSERT, UPDATE (is_in_force, is_left) ON cohort_content TO fillip_api;
GRANT SELECT, INSERT ON cohort_part TO fillip_api;
GRANT SELECT ON cohort TO fillip_worker;
GRANT SELECT, DELETE ON cohort_content, cohort_part TO fillip_worker;

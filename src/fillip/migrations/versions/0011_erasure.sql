-- Erasures of users, and how texts that may tell of one are written instead. Locks the heads of users' changes for a moment.

-- `user_id`, its pseudonym and the salt stand here until the erasure is done; then nothing tells whom it was about. `ends` is up
-- to where the log must be settled, then the topics loaded; `commit_lsn` up to where the write-ahead log must be announced. What is
-- due at `next_at` is held by one process until `held_until`; a step that two of them do is done once. `cut_at`: what was decided by
-- then was the erased user's.
CREATE TABLE erasure (
    tenant_id     text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    erasure_id    uuid NOT NULL DEFAULT uuidv7(),
    user_id       text CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    pseudonym     text CHECK (pseudonym ~ '^erased-[0-9a-f]{32}$'),
    salt          uuid,
    state         text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    step          text NOT NULL DEFAULT 'settling' CHECK (step IN ('settling', 'ledger', 'events', 'announcing', 'reports', 'done')),
    changed       bigint NOT NULL DEFAULT 0,
    error         text,
    ends          jsonb,
    commit_lsn    text,
    requested_at  timestamptz NOT NULL DEFAULT now(),
    cut_at        timestamptz,
    erased_at     timestamptz,
    ended_at      timestamptz,
    next_at       timestamptz DEFAULT now(),
    held_until    timestamptz,
    PRIMARY KEY (tenant_id, erasure_id),
    CHECK ((state = 'done') = (step = 'done') AND (state = 'done') = (ended_at IS NOT NULL)),
    CHECK (num_nonnulls(user_id, pseudonym, salt, next_at) = CASE state WHEN 'done' THEN 0 ELSE 4 END)
);
CREATE INDEX erasure_due ON erasure (next_at) WHERE next_at IS NOT NULL;
CREATE UNIQUE INDEX erasure_running ON erasure (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- How many of the tenant's users were erased: who keeps numbers of users drops them when it changes.
ALTER TABLE user_change_head ADD COLUMN erased bigint NOT NULL DEFAULT 0;

-- A text of which nobody can tell what it was once the salt is forgotten; equal texts stay equal.
CREATE FUNCTION erase_text(told text, salt uuid) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN told = '' THEN '' ELSE md5(salt::text || told) END;

-- The name of a quest's instance: an occurrence, behind the key where there is one.
CREATE FUNCTION erase_instance(told text, salt uuid) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN strpos(told, '#') = 0 THEN told
    ELSE md5(salt::text || regexp_replace(told, '#[0-9]+$', '')) || substring(told FROM '#[0-9]+$') END;

-- Uses of limits as a decision has them: keys of those limits that count for one user.
CREATE FUNCTION erase_uses(uses jsonb, own_limits text[], salt uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(
        CASE WHEN u ->> 'limit_id' = ANY (own_limits)
            THEN u || jsonb_build_object('key', erase_text(u ->> 'key', salt)) ELSE u END ORDER BY place), '[]')
    FROM jsonb_array_elements(uses) WITH ORDINALITY AS e (u, place)
$$;

-- What a reversal gave back to counters.
CREATE FUNCTION erase_returns(counters jsonb, of_user text, pseudonym text, salt uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(
        CASE WHEN u ->> 'user_id' = of_user
            THEN u || jsonb_build_object('user_id', pseudonym, 'key', erase_text(u ->> 'key', salt)) ELSE u END
        ORDER BY place), '[]')
    FROM jsonb_array_elements(counters) WITH ORDINALITY AS e (u, place)
$$;

-- The instances that a reversal took its original out of.
CREATE FUNCTION erase_instances(quests jsonb, salt uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(q || jsonb_build_object('instance', erase_instance(q ->> 'instance', salt)) ORDER BY place), '[]')
    FROM jsonb_array_elements(quests) WITH ORDINALITY AS e (q, place)
$$;

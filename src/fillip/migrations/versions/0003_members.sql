-- Users of a tenant in numbers, and the members of cohorts as bitmaps of them, chunk by chunk. Locks the cohorts of before.

-- How many users of a tenant have a number: 0 to numbered - 1. Locked by whoever gives numbers, until the commit.
CREATE TABLE user_numbering (
    tenant_id     text PRIMARY KEY REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    numbered      bigint NOT NULL DEFAULT 0 CHECK (numbered BETWEEN 0 AND 2147483648)
);

-- The number of a user that a cohort has ever named: the same for good, and without gaps.
-- Without a foreign key to its tenant: a check a row, millions of times an upload.
CREATE TABLE user_number (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    user_id       text COLLATE "C" NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    number        integer NOT NULL CHECK (number >= 0),
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, number)
);

-- The members of a cohort among the 65,536 numbers of one chunk, as a Roaring bitmap in its portable form. A chunk is in
-- force from `version` of its cohort up to `until`, without; a cohort that is deleted leaves its chunks. What is left is
-- removed by the sweep when nobody can be reading it any more.
CREATE TABLE cohort_chunk (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    content_id    uuid NOT NULL,
    chunk         integer NOT NULL CHECK (chunk BETWEEN 0 AND 32767),
    version       integer NOT NULL,
    until         integer CHECK (until > version),
    left_at       timestamptz,
    members       bytea STORAGE EXTERNAL NOT NULL CHECK (octet_length(members) <= 8300),
    PRIMARY KEY (tenant_id, content_id, chunk, version)
);
CREATE INDEX cohort_chunk_left ON cohort_chunk (left_at) WHERE left_at IS NOT NULL;

-- The owner reads and writes what was there before: as owner, not as a tenant.
ALTER TABLE cohort NO FORCE ROW LEVEL SECURITY;
ALTER TABLE cohort_content NO FORCE ROW LEVEL SECURITY;
ALTER TABLE cohort_part NO FORCE ROW LEVEL SECURITY;

INSERT INTO user_number (tenant_id, user_id, number)
SELECT tenant_id, user_id, row_number() OVER (PARTITION BY tenant_id ORDER BY user_id) - 1
FROM (
    SELECT DISTINCT p.tenant_id, m.user_id COLLATE "C" AS user_id
    FROM cohort c JOIN cohort_part p USING (tenant_id, content_id)
    CROSS JOIN LATERAL string_to_table(p.members, E'\n') AS m (user_id)
) listed;
INSERT INTO user_numbering (tenant_id, numbered) SELECT tenant_id, count(*) FROM user_number GROUP BY tenant_id;
UPDATE cohort SET content_id = uuidv7() WHERE content_id IS NULL;
ALTER TABLE cohort ALTER content_id SET DEFAULT uuidv7(), ALTER content_id SET NOT NULL;

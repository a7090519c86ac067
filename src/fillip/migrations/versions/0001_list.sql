-- Named lists: values that rules read by name.

CREATE TABLE named_list (
    tenant_id     text NOT NULL REFERENCES tenant,
    list_id       text NOT NULL CHECK (list_id ~ '^[a-z][a-z0-9_]{0,62}$'),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind          text NOT NULL CHECK (kind IN ('string', 'int')),
    version       bigint NOT NULL,       -- of the book, since when it holds what it holds
    size          integer NOT NULL CHECK (size BETWEEN 0 AND 10000),
    revision      bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, list_id)
);

-- What a list held from a version of the book on. Never changed, and kept when the list is deleted: decisions are
-- explained by it.
CREATE TABLE named_list_version (
    tenant_id     text NOT NULL REFERENCES tenant,
    list_id       text NOT NULL,
    version       bigint NOT NULL,
    items         jsonb NOT NULL,
    PRIMARY KEY (tenant_id, list_id, version)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON named_list TO fillip_api;
GRANT SELECT, INSERT ON named_list_version TO fillip_api;
GRANT SELECT ON named_list, named_list_version TO fillip_worker;

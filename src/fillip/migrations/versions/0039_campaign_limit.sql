-- Limits within definitions: their ids are the campaign's, a dot, and a name of 32 bytes at most. Locks the tables of limits while their rows are
-- looked through.
ALTER TABLE spending_limit ADD COLUMN in_definition boolean NOT NULL DEFAULT false;
ALTER TABLE spending_limit
    DROP CONSTRAINT limit_id_bytes,
    ADD CONSTRAINT limit_id_bytes CHECK (octet_length(limit_id) <= 96),
    DROP CONSTRAINT spending_limit_limit_id_check,
    ADD CONSTRAINT spending_limit_limit_id_check CHECK (
        limit_id ~ '^[a-z0-9][a-z0-9_-]{0,62}([.][a-z0-9][a-z0-9_-]{0,31})?$' AND in_definition = (position('.' IN limit_id) > 0)
    );
ALTER TABLE limit_counter
    DROP CONSTRAINT limit_id_bytes,
    ADD CONSTRAINT limit_id_bytes CHECK (octet_length(limit_id) <= 96);
ALTER TABLE limit_part
    DROP CONSTRAINT limit_part_check,
    ADD CONSTRAINT limit_part_check CHECK (octet_length(tenant_id) <= 63 AND octet_length(limit_id) <= 96);

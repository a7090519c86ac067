-- Bounds of the ids and keys that others give, in bytes: an index row holds 2,704 of them, and one that is longer would
-- stop a batch. The doors refuse longer ones (fillip.core.naming); these checks stand behind, on every table.
DO $$
DECLARE c record;
BEGIN
    FOR c IN
        SELECT r.relname, a.attname, b.bytes
        FROM (VALUES
            ('user_id', 256), ('event_id', 256), ('start_event_id', 256), ('reversal_id', 256), ('refund_id', 256),
            ('instance_key', 289), ('source_id', 256), ('first_id', 256), ('step', 400),
            ('event_source', 1024), ('start_event_source', 1024), ('reversal_source', 1024),
            ('tenant_id', 63), ('campaign_id', 63), ('limit_id', 63), ('cohort_id', 63), ('list_id', 63), ('pool_id', 63),
            ('badge_id', 63), ('currency', 32), ('topic', 249)
        ) AS b (attname, bytes)
        JOIN pg_attribute a ON a.attname = b.attname AND a.atttypid = 'text'::regtype
        JOIN pg_class r ON r.oid = a.attrelid
        WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p') AND NOT r.relispartition
    LOOP
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (octet_length(%I) <= %s)',
                       c.relname, c.attname || '_bytes', c.attname, c.bytes);
    END LOOP;
END $$;
ALTER TABLE limit_counter ADD CONSTRAINT key_bytes CHECK (octet_length(key) <= 256);
ALTER TABLE reversed_line ADD CONSTRAINT line_bytes CHECK (octet_length(line) <= 256);
ALTER TABLE rejection ADD CONSTRAINT reason_bytes CHECK (octet_length(reason) <= 63);

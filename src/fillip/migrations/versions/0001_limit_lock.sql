-- The lock of a tenant's limits: batches share it, whoever changes a limit has it alone. It is one of the server's own
-- locks, not a row's, because it is to be fair: a change that waits goes before batches that come later. Shared row locks
-- let every later batch in, and under load a change never got its turn.

-- Tenants share 256 locks, so that a batch of thousands of tenants does not fill the server's lock table.
CREATE FUNCTION limit_lock(tenant_id text) RETURNS integer LANGUAGE sql IMMUTABLE
RETURN hashtext(tenant_id) & 255;

-- Shares the limits of these tenants until the transaction ends, in the order of their locks.
CREATE FUNCTION share_limits(tenants text[]) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH held AS MATERIALIZED (
        SELECT pg_advisory_xact_lock_shared(7070, l.slot)
        FROM (SELECT DISTINCT limit_lock(t) AS slot FROM unnest(tenants) AS t ORDER BY slot) AS l
    )
    SELECT count(*) FROM held
$$;

-- Has a tenant's limits alone until the transaction ends. Call it before anything else is locked. Batches queue behind
-- one that waits, so it does not wait for long.
CREATE FUNCTION hold_limits(tenant_id text) RETURNS void LANGUAGE sql VOLATILE SET lock_timeout = '2s'
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(7070, limit_lock(tenant_id));
END;

-- Whoever changes a limit without having asked first waits here: no batch decides by a limit that is being changed.
CREATE FUNCTION hold_limits_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hold_limits(OLD.tenant_id);
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER hold_limits BEFORE UPDATE OR DELETE ON spending_limit
    FOR EACH ROW EXECUTE FUNCTION hold_limits_of_row();

-- Numbers the changes of users, and adds their revision to decisions. Locks the tables of users and decisions for a moment.
ALTER TABLE decision ADD COLUMN user_revision bigint;

-- How many changes a tenant's users have seen. Whoever changes a user has the row until its commit: so the numbers of a
-- tenant are committed in their order, and who has read one finds all that is changed up to it.
CREATE TABLE user_change_head (
    tenant_id    text PRIMARY KEY REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    last_number  bigint NOT NULL
) WITH (fillfactor = 50);

-- Whom each of the newest 4,096 changes of a tenant was about: a ring, the change of a number stands in slot mod(number, 4096).
CREATE TABLE user_change (
    tenant_id    text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    slot         integer NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    user_id      text NOT NULL CHECK (octet_length(user_id) <= 256),
    PRIMARY KEY (tenant_id, slot)
) WITH (fillfactor = 50);

-- Whatever writes users: the API, an operator by hand, an erasure. It comes after their rows are locked, those of a
-- statement with more than 4,096 need no slot that a later one of them takes.
CREATE FUNCTION number_user_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_tenant text;
    many bigint;
    last bigint;
BEGIN
    FOR of_tenant, many IN SELECT tenant_id, count(*) FROM changed GROUP BY tenant_id ORDER BY tenant_id LOOP
        INSERT INTO user_change_head AS h (tenant_id, last_number) VALUES (of_tenant, many)
        ON CONFLICT (tenant_id) DO UPDATE SET last_number = h.last_number + many
        RETURNING h.last_number INTO last;
        INSERT INTO user_change (tenant_id, slot, user_id)
        SELECT of_tenant, mod(n.number, 4096), n.user_id
        FROM (SELECT c.user_id, last - many + row_number() OVER () AS number FROM changed c WHERE c.tenant_id = of_tenant) n
        WHERE n.number > last - 4096
        ON CONFLICT (tenant_id, slot) DO UPDATE SET user_id = excluded.user_id;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER user_inserted AFTER INSERT ON end_user REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION number_user_changes();
CREATE TRIGGER user_updated AFTER UPDATE ON end_user REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION number_user_changes();
CREATE TRIGGER user_deleted AFTER DELETE ON end_user REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION number_user_changes();

ALTER TABLE user_change_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_change_head FORCE ROW LEVEL SECURITY;
ALTER TABLE user_change ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_change FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON user_change_head TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY one_tenant ON user_change TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
-- of the heads a worker asks before each batch, in one way to the server: it sees numbers, and names its tenants
CREATE POLICY watch ON user_change_head FOR SELECT TO fillip_worker USING (true);
CREATE POLICY batch_tenants ON user_change FOR SELECT TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT SELECT, INSERT, UPDATE ON user_change_head, user_change TO fillip_api;
GRANT SELECT ON user_change_head, user_change TO fillip_worker;

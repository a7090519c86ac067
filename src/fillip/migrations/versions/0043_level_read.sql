-- How rules read levels: as an attribute of the user. Locks nothing that exists.

-- What rules know of these users now: their attributes, and among them their level on each ladder that names one; who has neither is left out.
-- Locks nothing.
CREATE FUNCTION read_users(tenants text[], users text[])
RETURNS TABLE (tenant_id text, user_id text, revision bigint, attributes jsonb, time_zone text) LANGUAGE sql STABLE AS $$
    SELECT asked.tenant_id, asked.user_id, coalesce(u.revision, 0), coalesce(u.attributes, '{}') || coalesce(shown.levels, '{}'), u.time_zone
    FROM unnest(tenants, users) AS asked (tenant_id, user_id)
    LEFT JOIN end_user u ON u.tenant_id = asked.tenant_id AND u.user_id = asked.user_id
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(l.attribute, coalesce(v.level, l.names[1])) AS levels
        FROM ladder l
        LEFT JOIN user_level v ON v.tenant_id = l.tenant_id AND v.currency = l.currency AND v.user_id = asked.user_id
        WHERE l.tenant_id = asked.tenant_id AND l.attribute IS NOT NULL AND NOT l.leaving
    ) shown ON true
    WHERE u.user_id IS NOT NULL OR shown.levels IS NOT NULL
$$;

-- A level that changes is a change of the user for whoever keeps users: the trigger numbers it as it numbers those of end_user.
CREATE TRIGGER user_leveled AFTER INSERT ON level_change REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION number_user_changes();
CREATE POLICY level ON user_change_head TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
CREATE POLICY level ON user_change TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT INSERT, UPDATE ON user_change_head, user_change TO fillip_worker;

-- A ladder that changes is a change of all users: whoever keeps them finds more changes than the ring holds, and forgets all of the tenant.
CREATE FUNCTION number_ladder_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_change_head AS h (tenant_id, last_number) VALUES (NEW.tenant_id, 4097)
    ON CONFLICT (tenant_id) DO UPDATE SET last_number = h.last_number + 4097;
    RETURN NULL;
END $$;
CREATE TRIGGER ladder_made AFTER INSERT ON ladder FOR EACH ROW WHEN (NEW.attribute IS NOT NULL) EXECUTE FUNCTION number_ladder_changes();
CREATE TRIGGER ladder_changed AFTER UPDATE ON ladder FOR EACH ROW
    WHEN (coalesce(NEW.attribute, OLD.attribute) IS NOT NULL AND OLD.revision <> NEW.revision) EXECUTE FUNCTION number_ladder_changes();

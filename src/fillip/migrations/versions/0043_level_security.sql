-- Who sees ladders and levels, and what of them is announced. Locks the publication for a moment.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['ladder', 'earned_day', 'user_level', 'level_change'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY one_tenant ON %I TO fillip_api USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('CREATE POLICY batch_tenants ON %I TO fillip_worker
            USING (tenant_id IN (SELECT unnest(string_to_array(current_setting(''app.tenants'', true), '',''))))', t);
        EXECUTE format('CREATE POLICY erase ON %I TO fillip_eraser USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('GRANT SELECT, UPDATE ON %I TO fillip_eraser', t);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON ladder TO fillip_api;
GRANT SELECT, UPDATE, DELETE ON ladder TO fillip_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON earned_day, user_level TO fillip_api, fillip_worker;
GRANT SELECT, INSERT ON level_change TO fillip_api, fillip_worker;

CREATE POLICY find_due ON ladder FOR SELECT TO fillip_sweep USING (true);
CREATE POLICY find_due ON user_level FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, currency, filled_to, followed_to, leaving) ON ladder TO fillip_sweep;
GRANT SELECT (tenant_id, currency, user_id, falls_at) ON user_level TO fillip_sweep;

-- a phone that connects is told the newest change of each ladder that there is
CREATE POLICY one_tenant_of_gateway ON ladder FOR SELECT TO fillip_gateway USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY one_tenant_of_gateway ON level_change FOR SELECT TO fillip_gateway USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT (tenant_id, currency, leaving) ON ladder TO fillip_gateway;
GRANT SELECT ON level_change TO fillip_gateway;

CREATE POLICY announce ON level_change FOR SELECT TO fillip_publish USING (true);
GRANT SELECT ON level_change TO fillip_publish;
ALTER PUBLICATION fillip ADD TABLE level_change;

GRANT CREATE ON SCHEMA public TO fillip_eraser;
ALTER FUNCTION erase_levels(text, text, text) OWNER TO fillip_eraser;
REVOKE CREATE ON SCHEMA public FROM fillip_eraser;
REVOKE ALL ON FUNCTION erase_levels(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_levels(text, text, text) TO fillip_api;

-- Every table: row-level security, FORCEd. One policy for a role of one tenant, one for the worker's batch. The worker's
-- statements all name their tenants, so its policy is a hashed subquery, which no index is read by: a second condition on
-- the tenant would have the planner believe that an index on the tenant alone finds few rows.
DO $$
DECLARE t text;
BEGIN
    FOR t IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    END LOOP;
    FOR t IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') LOOP
        EXECUTE format('CREATE POLICY one_tenant ON %I TO fillip_api, fillip_gateway
            USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('CREATE POLICY batch_tenants ON %I TO fillip_worker
            USING (tenant_id IN (SELECT unnest(string_to_array(current_setting(''app.tenants'', true), '',''))))', t);
        EXECUTE format('CREATE POLICY announce ON %I FOR SELECT TO fillip_publish USING (true)', t);
    END LOOP;
END $$;

-- The fence belongs to no tenant; nor does a rejection whose tenant is not known.
CREATE POLICY fence ON consumer_position TO fillip_worker USING (true) WITH CHECK (true);
CREATE POLICY reject_unknown ON rejection FOR INSERT TO fillip_worker WITH CHECK (tenant_id IS NULL);
CREATE POLICY own_key ON api_key FOR SELECT TO fillip_auth USING (true);
CREATE POLICY own_quota ON tenant_quota FOR SELECT TO fillip_auth USING (true);
CREATE POLICY own_ticket ON gateway_ticket TO fillip_auth USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    api_key, end_user, action, campaign, campaign_version, spending_limit, idempotency, gateway_ticket TO fillip_api;
GRANT SELECT, UPDATE ON tenant TO fillip_api;
GRANT SELECT, INSERT ON book_change TO fillip_api;
GRANT SELECT ON event_met, limit_counter, decision, incentive, inbox, rejection, book_pin TO fillip_api;

GRANT SELECT ON tenant, end_user, action, campaign, campaign_version, spending_limit TO fillip_worker;
GRANT SELECT, INSERT, UPDATE ON consumer_position, limit_counter, inbox_head TO fillip_worker;
GRANT SELECT, INSERT ON book_pin, event_met, decision, incentive, inbox, rejection TO fillip_worker;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO fillip_publish;
REVOKE SELECT ON api_key, gateway_ticket, idempotency FROM fillip_publish;

GRANT SELECT ON incentive, inbox_head TO fillip_gateway;
GRANT SELECT, UPDATE ON inbox TO fillip_gateway;
-- whether a quest is over: by the clock of its tenant and the lateness of its version
GRANT SELECT (tenant_id, clock) ON tenant TO fillip_gateway;
GRANT SELECT (tenant_id, campaign_id, version, definition) ON campaign_version TO fillip_gateway;

GRANT SELECT ON api_key TO fillip_auth;
GRANT SELECT, UPDATE ON gateway_ticket TO fillip_auth;
GRANT USAGE ON SCHEMA public TO fillip_auth;

-- A key's hash -> its tenant with its quotas, and scopes; no row for an unknown, expired or revoked key.
CREATE FUNCTION authenticate_key(hash bytea) RETURNS TABLE (key_id uuid, tenant_id text, scopes text[], quotas jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.key_id, k.tenant_id, k.scopes, q.quotas FROM api_key k LEFT JOIN tenant_quota q USING (tenant_id)
    WHERE k.key_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$;
-- A ticket's hash -> its tenant with its quotas, and user, once; no row when unknown, expired or redeemed before.
CREATE FUNCTION redeem_ticket(hash bytea) RETURNS TABLE (tenant_id text, user_id text, quotas jsonb)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE gateway_ticket t SET redeemed_at = now()
    WHERE t.ticket_hash = hash AND t.redeemed_at IS NULL AND t.expires_at > now()
    RETURNING t.tenant_id, t.user_id, (SELECT q.quotas FROM tenant_quota q WHERE q.tenant_id = t.tenant_id)
$$;
ALTER FUNCTION authenticate_key(bytea) OWNER TO fillip_auth;
ALTER FUNCTION redeem_ticket(bytea) OWNER TO fillip_auth;
REVOKE ALL ON FUNCTION authenticate_key(bytea), redeem_ticket(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authenticate_key(bytea) TO fillip_api;
GRANT EXECUTE ON FUNCTION redeem_ticket(bytea) TO fillip_gateway;

-- What publish announces. The slot itself is made by migrate(), before anything is written.
CREATE PUBLICATION fillip FOR TABLE
    book_change, decision, incentive, incentive_change, rejection, quest_instance, limit_counter
    WITH (publish = 'insert, update');

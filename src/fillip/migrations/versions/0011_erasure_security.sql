-- Who may erase: a role that nobody logs in as owns the functions, and sees the tenant that its caller has named. Locks nothing.
DO $$
DECLARE t text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fillip_eraser') THEN
        CREATE ROLE fillip_eraser NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
    GRANT USAGE ON SCHEMA public TO fillip_eraser;
    FOREACH t IN ARRAY ARRAY[
        'event_met', 'decision', 'incentive', 'incentive_change', 'inbox', 'inbox_head', 'badge_held', 'limit_counter',
        'quest_instance', 'quest_step_met', 'reversal', 'reversed_line', 'rejection', 'wallet', 'wallet_lot', 'wallet_transfer',
        'wallet_draw', 'wallet_refund', 'end_user', 'user_number', 'user_change', 'user_change_head', 'gateway_ticket', 'tenant_usage',
        'cohort_tally'
    ] LOOP
        EXECUTE format('CREATE POLICY erase ON %I TO fillip_eraser USING (tenant_id = current_setting(''app.tenant'', true))', t);
        EXECUTE format('GRANT SELECT, UPDATE ON %I TO fillip_eraser', t);
    END LOOP;
END $$;
CREATE POLICY erase ON spending_limit FOR SELECT TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY erase ON cohort_rule FOR SELECT TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY erase ON cohort_rule_left FOR SELECT TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT ON spending_limit, cohort_rule, cohort_rule_left TO fillip_eraser;
GRANT INSERT ON user_change, user_change_head TO fillip_eraser;
GRANT DELETE ON end_user, user_change, gateway_ticket TO fillip_eraser;
GRANT CREATE ON SCHEMA public TO fillip_eraser;
ALTER FUNCTION erase_history(text, text, text, uuid, timestamptz, bigint) OWNER TO fillip_eraser;
ALTER FUNCTION erase_events(text, text, text, timestamptz, uuid, integer) OWNER TO fillip_eraser;
ALTER FUNCTION erase_rejections(text, text, uuid[]) OWNER TO fillip_eraser;
ALTER FUNCTION erase_user(text, text, text, uuid) OWNER TO fillip_eraser;
REVOKE CREATE ON SCHEMA public FROM fillip_eraser;
REVOKE ALL ON FUNCTION erase_history(text, text, text, uuid, timestamptz, bigint), erase_rejections(text, text, uuid[]),
    erase_events(text, text, text, timestamptz, uuid, integer), erase_user(text, text, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_history(text, text, text, uuid, timestamptz, bigint), erase_rejections(text, text, uuid[]),
    erase_events(text, text, text, timestamptz, uuid, integer), erase_user(text, text, text, uuid) TO fillip_api;

ALTER TABLE erasure ENABLE ROW LEVEL SECURITY;
ALTER TABLE erasure FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON erasure TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY find_due ON erasure FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT, INSERT, UPDATE ON erasure TO fillip_api;
GRANT SELECT (tenant_id, erasure_id, next_at, held_until) ON erasure TO fillip_sweep;

-- Merges of users take cohorts along: lists, and what is counted by rules. Locks nothing.

-- Whoever changes lists of a tenant's cohorts calls it before anything is locked: no user is merged until the transaction ends. Locks them, shared.
CREATE FUNCTION share_lists(of_tenant text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(of_tenant, 64020184));
END $$;

-- Whoever merges: waits for who changes lists of the tenant's cohorts, or counts events for them (share_tallies.sql), and has both alone until the
-- commit. Called before hold_merges, so that no batch waits meanwhile. Locks them.
CREATE FUNCTION hold_lists(of_tenant text) RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(of_tenant, 64020184));
    PERFORM pg_advisory_xact_lock(hashtextextended(of_tenant, 64020183));
END $$;

-- A tally of two users who are one is made anew, and the other's goes.
GRANT INSERT, UPDATE, DELETE ON cohort_tally TO fillip_api;
-- Who counts asks who a user is by now.
CREATE POLICY batch_tenants_cohort ON user_merge FOR SELECT TO fillip_cohort
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
GRANT SELECT (tenant_id, user_id, merged_into) ON user_merge TO fillip_cohort;

-- A tenant's book says whether it has merged users. Locks `tenant` for a moment.

-- The version of the book since which workers ask who the tenant's users are by now; NULL: it has merged nobody, and nobody asks.
-- No user is merged before that version is in force.
ALTER TABLE tenant ADD COLUMN merged_since bigint;
ALTER TABLE tenant NO FORCE ROW LEVEL SECURITY;
ALTER TABLE user_change_head NO FORCE ROW LEVEL SECURITY;
UPDATE tenant t SET merged_since = 0 FROM user_change_head h WHERE h.tenant_id = t.tenant_id AND h.merged > 0;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
ALTER TABLE user_change_head FORCE ROW LEVEL SECURITY;

-- A badge that two ids of a user had earned is still held when one of them is taken back.
GRANT UPDATE (user_id) ON badge_held TO fillip_worker;

-- A merge whose wallets go over in portions: when the next is due; NULL: all is over. `moved` has what came so far.
ALTER TABLE user_merge ADD COLUMN next_at timestamptz;
CREATE INDEX user_merge_due ON user_merge (next_at) WHERE next_at IS NOT NULL;
CREATE POLICY find_due ON user_merge FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT (tenant_id, user_id, next_at) ON user_merge TO fillip_sweep;
GRANT UPDATE (moved, next_at) ON user_merge TO fillip_api;

-- How many rows a merge has to look at of a user in its first transaction: instances of quests with what was counted, counters; `most` + 1 where
-- there are more. Points go in portions. Locks nothing.
CREATE OR REPLACE FUNCTION count_merged_rows(of_tenant text, of_user text, most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT least(most + 1, (SELECT count(*) FROM (
            SELECT FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id = of_user LIMIT most + 1) AS instances)
        + (SELECT count(*) FROM (
            SELECT FROM quest_instance q JOIN quest_step_met m USING (tenant_id, campaign_id, user_id, instance_key, occurrence)
            WHERE q.tenant_id = of_tenant AND q.user_id = of_user LIMIT most + 1) AS steps)
        + (SELECT count(*) FROM (
            SELECT FROM spending_limit s
            JOIN limit_counter c ON c.tenant_id = s.tenant_id AND c.limit_id = s.limit_id AND c.user_id = of_user
            WHERE s.tenant_id = of_tenant LIMIT most + 1) AS counters))
$$;

-- Gateways look for merges of the last seconds: connections under the old id are told to come in again.
CREATE INDEX user_merge_newest ON user_merge (merged_at);
CREATE POLICY newest ON user_merge FOR SELECT TO fillip_gateway USING (true);
GRANT SELECT (tenant_id, user_id, merged_at) ON user_merge TO fillip_gateway;

-- As 0036_user_merge.sql has it, but for tickets: one that was given for the first user lets in as the other.
CREATE OR REPLACE FUNCTION merge_user(of_tenant text, from_user text, into_user text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    instances bigint;
    counters bigint;
    badges bigint;
BEGIN
    instances := merge_quests(of_tenant, from_user, into_user);
    counters := merge_counters(of_tenant, from_user, into_user);
    UPDATE badge_held b SET user_id = into_user
    WHERE b.tenant_id = of_tenant AND b.user_id = from_user AND NOT EXISTS (
        SELECT FROM badge_held a WHERE a.tenant_id = of_tenant AND a.user_id = into_user AND a.badge_id = b.badge_id);
    GET DIAGNOSTICS badges = ROW_COUNT;
    UPDATE gateway_ticket g SET user_id = into_user WHERE g.tenant_id = of_tenant AND g.user_id = from_user;
    UPDATE user_merge m SET merged_into = into_user WHERE m.tenant_id = of_tenant AND m.merged_into = from_user;
    INSERT INTO user_change_head AS h (tenant_id, last_number, merged) VALUES (of_tenant, 0, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET merged = h.merged + 1;
    RETURN jsonb_build_object('counters', counters, 'instances', instances, 'badges', badges);
END $$;

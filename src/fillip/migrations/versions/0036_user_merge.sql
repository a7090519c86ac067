-- Users that are merged into others: who, and what moves of them. Locks transfers of points and the heads of users' changes for a moment.

-- Who is another user by now: what comes under `user_id` is of `merged_into`, who is nobody else. `asked_into` is whom the request named.
CREATE TABLE user_merge (
    tenant_id     text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    user_id       text NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 256),
    merge_id      text NOT NULL CHECK (octet_length(merge_id) BETWEEN 1 AND 256),
    asked_into    text NOT NULL CHECK (octet_length(asked_into) BETWEEN 1 AND 256),
    merged_into   text NOT NULL CHECK (octet_length(merged_into) BETWEEN 1 AND 256),
    reason        text CHECK (octet_length(reason) <= 2000),
    moved         jsonb NOT NULL,        -- {points: {currency: active + pending}, counters, instances, badges}
    merged_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, merge_id),
    CHECK (user_id <> merged_into)
);
CREATE INDEX user_merge_into ON user_merge (tenant_id, merged_into);

-- How many of the tenant's users were merged into others: where there are none, nobody looks for any.
ALTER TABLE user_change_head ADD COLUMN merged bigint NOT NULL DEFAULT 0;
ALTER TABLE wallet_transfer
    DROP CONSTRAINT wallet_transfer_kind_check,
    ADD CONSTRAINT wallet_transfer_kind_check CHECK (kind IN (
        'grant', 'activate', 'spend', 'refund', 'expire', 'reverse', 'adjust', 'hold', 'capture', 'release', 'give', 'receive', 'merge'));

-- Shares the limits of a batch's tenants, as share_limits does; of these tenants those that have merged users, as that is under the lock.
CREATE FUNCTION share_merged(tenants text[]) RETURNS SETOF text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM share_limits(tenants);
    RETURN QUERY SELECT h.tenant_id FROM user_change_head h WHERE h.tenant_id = ANY (tenants) AND h.merged > 0;
END $$;

-- Who these users are by now, those of them that are another. Shares the lock of the tenant's merges until the transaction ends: nobody is
-- merged meanwhile.
CREATE FUNCTION share_merges(of_tenant text, users text[]) RETURNS TABLE (user_id text, merged_into text) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7071, limit_lock(of_tenant));
    RETURN QUERY SELECT m.user_id, m.merged_into FROM user_merge m WHERE m.tenant_id = of_tenant AND m.user_id = ANY (users);
END $$;

-- Whoever merges: waits for the batches that decide for the tenant and for who changes its users or wallets, and has both alone until the commit.
CREATE FUNCTION hold_merges(of_tenant text) RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7070, limit_lock(of_tenant));
    PERFORM pg_advisory_xact_lock(7071, limit_lock(of_tenant));
END $$;

-- How many rows a merge has to look at of a user: transfers of points, instances of quests with what was counted, counters; `most` + 1 where
-- there are more. Locks nothing.
CREATE FUNCTION count_merged_rows(of_tenant text, of_user text, most integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT least(most + 1, (SELECT coalesce(sum(w.last_seq), 0)::bigint FROM wallet w WHERE w.tenant_id = of_tenant AND w.user_id = of_user)
        + (SELECT count(*) FROM (
            SELECT FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id = of_user LIMIT most + 1) AS instances)
        + (SELECT count(*) FROM (
            SELECT FROM quest_instance q JOIN quest_step_met m USING (tenant_id, campaign_id, user_id, instance_key, occurrence)
            WHERE q.tenant_id = of_tenant AND q.user_id = of_user LIMIT most + 1) AS steps)
        + (SELECT count(*) FROM (
            SELECT FROM spending_limit s
            JOIN limit_counter c ON c.tenant_id = s.tenant_id AND c.limit_id = s.limit_id AND c.user_id = of_user
            WHERE s.tenant_id = of_tenant LIMIT most + 1) AS counters))
$$;

-- Adds what a user has used of limits to another's: window by window, and part by part of rolling ones; the first one's are at 0 then.
-- A counter may come beyond its limit's cap: then it refuses, as under a cap that was lowered. Locks both users' counters. How many were added.
CREATE FUNCTION merge_counters(of_tenant text, from_user text, into_user text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    own_limits text[];
    many bigint;
BEGIN
    SELECT array_agg(s.limit_id ORDER BY s.limit_id) INTO own_limits
    FROM spending_limit s WHERE s.tenant_id = of_tenant AND s.scope IN ('user', 'user_in_campaign');
    PERFORM FROM limit_counter c
    WHERE c.tenant_id = of_tenant AND c.limit_id = ANY (own_limits) AND c.user_id IN (from_user, into_user)
    ORDER BY c.limit_id, c.user_id, c.key, c.window_start FOR UPDATE;
    INSERT INTO limit_counter AS c (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
    SELECT b.tenant_id, b.limit_id, into_user, b.key, b.window_start, b.used, b.cap, 1
    FROM limit_counter b WHERE b.tenant_id = of_tenant AND b.limit_id = ANY (own_limits) AND b.user_id = from_user AND b.used > 0
    ON CONFLICT (tenant_id, limit_id, user_id, key, window_start) DO UPDATE
        SET used = c.used + excluded.used, cap = greatest(c.cap, c.used + excluded.used), version = c.version + 1;
    GET DIAGNOSTICS many = ROW_COUNT;
    INSERT INTO limit_part AS p (tenant_id, limit_id, user_id, key, window_start, part, used)
    SELECT b.tenant_id, b.limit_id, into_user, b.key, b.window_start, b.part, b.used
    FROM limit_part b WHERE b.tenant_id = of_tenant AND b.limit_id = ANY (own_limits) AND b.user_id = from_user AND b.used > 0
    ON CONFLICT (tenant_id, limit_id, user_id, key, window_start, part) DO UPDATE SET used = p.used + excluded.used;
    UPDATE limit_part b SET used = 0
    WHERE b.tenant_id = of_tenant AND b.limit_id = ANY (own_limits) AND b.user_id = from_user AND b.used > 0;
    UPDATE limit_counter b SET used = 0, version = b.version + 1
    WHERE b.tenant_id = of_tenant AND b.limit_id = ANY (own_limits) AND b.user_id = from_user AND b.used > 0;
    RETURN many;
END $$;

-- Moves a user's quest instances to another, behind those of the same key. Where both are at one, the other's goes on, and where a quest can't be
-- repeated and one of them has completed it, neither does; what does not go on stays with the first user, closed. Reversals find an instance's
-- grant by its name, so that goes with it. What moves is told as closed under the first user. Locks the instances of both. How many were moved.
CREATE FUNCTION merge_quests(of_tenant text, from_user text, into_user text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    b record;
    once boolean;
    last integer;
    many bigint := 0;
BEGIN
    PERFORM FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id IN (from_user, into_user)
    ORDER BY q.campaign_id, q.user_id, q.instance_key, q.occurrence FOR UPDATE;
    FOR b IN
        SELECT q.campaign_id, q.instance_key, q.occurrence, q.state, q.campaign_version, q.completed_by
        FROM quest_instance q
        WHERE q.tenant_id = of_tenant AND q.user_id = from_user AND q.state NOT IN ('closed', 'reversed')
        ORDER BY q.campaign_id, q.instance_key, q.occurrence
    LOOP
        SELECT NOT coalesce((v.definition -> 'quest' ->> 'repeatable')::boolean, false) INTO once
        FROM campaign_version v
        WHERE v.tenant_id = of_tenant AND v.campaign_id = split_part(b.campaign_id, '~', 1) AND v.version = b.campaign_version;
        IF b.state IN ('open', 'lapsed', 'completed') THEN
            UPDATE quest_instance q SET state = 'closed', revision = q.revision + 1, updated_at = clock_timestamp()
            WHERE q.tenant_id = of_tenant AND q.user_id = from_user AND q.campaign_id = b.campaign_id
              AND q.instance_key = b.instance_key AND q.occurrence = b.occurrence;
        END IF;
        CONTINUE WHEN b.state IN ('open', 'lapsed') AND EXISTS (
            SELECT FROM quest_instance a
            WHERE a.tenant_id = of_tenant AND a.user_id = into_user AND a.campaign_id = b.campaign_id AND a.instance_key = b.instance_key
              AND (a.state IN ('open', 'lapsed') OR once AND a.state = 'completed'));
        CONTINUE WHEN b.state = 'denied' AND EXISTS (
            SELECT FROM quest_instance a
            WHERE a.tenant_id = of_tenant AND a.user_id = into_user AND a.campaign_id = b.campaign_id AND a.instance_key = b.instance_key);
        IF b.state = 'completed' AND once THEN
            UPDATE quest_instance a SET state = 'closed', revision = a.revision + 1, updated_at = clock_timestamp()
            WHERE a.tenant_id = of_tenant AND a.user_id = into_user AND a.campaign_id = b.campaign_id
              AND a.instance_key = b.instance_key AND a.state IN ('open', 'lapsed');
        END IF;
        SELECT coalesce(max(a.occurrence), 0) INTO last FROM quest_instance a
        WHERE a.tenant_id = of_tenant AND a.campaign_id = b.campaign_id AND a.user_id = into_user AND a.instance_key = b.instance_key;
        UPDATE quest_instance q SET user_id = into_user, occurrence = last + 1, state = b.state, revision = q.revision + 1,
            updated_at = clock_timestamp(), steps = q.steps || '[]'  -- written anew, so that the announcement has them
        WHERE q.tenant_id = of_tenant AND q.user_id = from_user AND q.campaign_id = b.campaign_id
          AND q.instance_key = b.instance_key AND q.occurrence = b.occurrence;
        UPDATE quest_step_met m SET user_id = into_user, occurrence = last + 1
        WHERE m.tenant_id = of_tenant AND m.user_id = from_user AND m.campaign_id = b.campaign_id
          AND m.instance_key = b.instance_key AND m.occurrence = b.occurrence;
        IF b.completed_by IS NOT NULL AND last + 1 <> b.occurrence THEN
            UPDATE decision d SET instance = regexp_replace(d.instance, '[0-9]+$', (last + 1)::text)
            WHERE d.tenant_id = of_tenant AND d.event_key = b.completed_by AND d.campaign_id = b.campaign_id AND d.user_id = from_user
              AND d.instance = CASE b.instance_key WHEN '' THEN '' ELSE b.instance_key || '#' END || b.occurrence;
        END IF;
        many := many + 1;
    END LOOP;
    RETURN many;
END $$;

-- What a merge does beside wallets and attributes: counters, quests, badges that the other has not, tickets; then who the first user is, and all who were
-- the first user before. Call it with hold_merges held. Tells who keeps users, by the number of the tenant's merges. What was moved.
CREATE FUNCTION merge_user(of_tenant text, from_user text, into_user text) RETURNS jsonb
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
    DELETE FROM gateway_ticket g WHERE g.tenant_id = of_tenant AND g.user_id = from_user;
    UPDATE user_merge m SET merged_into = into_user WHERE m.tenant_id = of_tenant AND m.merged_into = from_user;
    INSERT INTO user_change_head AS h (tenant_id, last_number, merged) VALUES (of_tenant, 0, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET merged = h.merged + 1;
    RETURN jsonb_build_object('counters', counters, 'instances', instances, 'badges', badges);
END $$;

ALTER TABLE user_merge ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_merge FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON user_merge TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY batch_tenants ON user_merge FOR SELECT TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
CREATE POLICY merge ON user_merge TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY merge ON campaign_version FOR SELECT TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY merge ON limit_part TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT ON user_merge TO fillip_api;
GRANT SELECT ON user_merge TO fillip_worker;
GRANT SELECT, UPDATE, DELETE ON user_merge TO fillip_eraser;
GRANT SELECT ON campaign_version TO fillip_eraser;
GRANT INSERT ON limit_counter TO fillip_eraser;
GRANT SELECT, INSERT, UPDATE ON limit_part TO fillip_eraser;
GRANT CREATE ON SCHEMA public TO fillip_eraser;
ALTER FUNCTION count_merged_rows(text, text, integer) OWNER TO fillip_eraser;
ALTER FUNCTION merge_counters(text, text, text) OWNER TO fillip_eraser;
ALTER FUNCTION merge_quests(text, text, text) OWNER TO fillip_eraser;
ALTER FUNCTION merge_user(text, text, text) OWNER TO fillip_eraser;
REVOKE CREATE ON SCHEMA public FROM fillip_eraser;
REVOKE ALL ON FUNCTION count_merged_rows(text, text, integer), merge_counters(text, text, text), merge_quests(text, text, text),
    merge_user(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_merged_rows(text, text, integer), merge_user(text, text, text) TO fillip_api;

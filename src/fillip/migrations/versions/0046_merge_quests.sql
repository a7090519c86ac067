-- What a merge does with quests: which of two instances goes on is told by what the second user had before, and a decision is found under any id that the
-- first one had. Locks nothing by itself.

-- Where both have an instance of a key open, the second user's goes on and the other is closed; of two that lapsed, too. One that is open goes on where
-- the other user's has lapsed. Call it with hold_merges held. How many instances came over.
CREATE OR REPLACE FUNCTION merge_quests(of_tenant text, from_user text, into_user text) RETURNS bigint
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
        SELECT q.campaign_id, q.instance_key, q.occurrence, q.state, q.campaign_version, q.completed_by, hers.states
        FROM quest_instance q
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(a.state), '{}') AS states FROM quest_instance a
            WHERE a.tenant_id = of_tenant AND a.user_id = into_user AND a.campaign_id = q.campaign_id AND a.instance_key = q.instance_key
        ) AS hers
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
        CONTINUE WHEN b.state IN ('open', 'lapsed')
            AND ('open' = ANY (b.states) OR b.state = 'lapsed' AND 'lapsed' = ANY (b.states) OR once AND 'completed' = ANY (b.states));
        CONTINUE WHEN b.state = 'denied' AND cardinality(b.states) > 0;
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
            WHERE d.tenant_id = of_tenant AND d.event_key = b.completed_by AND d.campaign_id = b.campaign_id
              AND (d.user_id = from_user OR EXISTS (
                  SELECT FROM user_merge m WHERE m.tenant_id = of_tenant AND m.user_id = d.user_id AND m.merged_into = from_user))
              AND d.instance = CASE b.instance_key WHEN '' THEN '' ELSE b.instance_key || '#' END || b.occurrence;
        END IF;
        many := many + 1;
    END LOOP;
    RETURN many;
END $$;

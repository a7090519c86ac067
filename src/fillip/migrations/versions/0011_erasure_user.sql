-- What moves a user to the pseudonym, whole. Locks nothing by itself.

-- Waits for the batches that decide for the tenant, and has its limits alone until the commit: so nothing is decided of the user
-- half before and half after. Then instances, incentives, counters, wallets, inbox and badges, in the lock order; at the end the user's
-- row, the head of its changes, and the tenant's sums. How many rows were moved, and up to which instant decisions were the user's.
CREATE FUNCTION erase_user(of_tenant text, of_user text, pseudonym text, salt uuid) RETURNS TABLE (moved bigint, cut_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    own_limits text[];
    campaigns text[];
    many bigint;
    freed bigint;
BEGIN
    PERFORM hold_limits(of_tenant);
    moved := 0;

    PERFORM FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id = of_user
    ORDER BY q.campaign_id, q.instance_key, q.occurrence FOR UPDATE;
    PERFORM FROM incentive i WHERE i.tenant_id = of_tenant AND i.user_id = of_user ORDER BY i.incentive_id FOR UPDATE;
    SELECT array_agg(DISTINCT named.limit_id) INTO own_limits
    FROM (
        SELECT l.limit_id FROM spending_limit l WHERE l.tenant_id = of_tenant AND l.scope IN ('user', 'user_in_campaign')
        UNION
        SELECT u ->> 'limit_id' FROM decision d CROSS JOIN jsonb_array_elements(d.limits) AS u
        WHERE d.tenant_id = of_tenant AND d.user_id IN (of_user, pseudonym)
    ) named
    WHERE EXISTS (SELECT FROM limit_counter c
                  WHERE c.tenant_id = of_tenant AND c.limit_id = named.limit_id AND c.user_id = of_user);
    UPDATE limit_counter c SET user_id = pseudonym, key = erase_text(c.key, salt)
    WHERE c.tenant_id = of_tenant AND c.limit_id = ANY (own_limits) AND c.user_id = of_user;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    PERFORM FROM wallet w WHERE w.tenant_id = of_tenant AND w.user_id = of_user ORDER BY w.currency FOR UPDATE;
    PERFORM FROM inbox_head h WHERE h.tenant_id = of_tenant AND h.user_id = of_user FOR UPDATE;
    -- all decisions are older, also by the clocks of the workers
    SELECT greatest(clock_timestamp(), max(d.decided_at)) INTO cut_at
    FROM decision d WHERE d.tenant_id = of_tenant AND d.user_id IN (of_user, pseudonym);

    SELECT array_agg(DISTINCT q.campaign_id) INTO campaigns
    FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id = of_user;
    UPDATE quest_step_met m SET user_id = pseudonym, instance_key = erase_text(m.instance_key, salt)
    WHERE m.tenant_id = of_tenant AND m.campaign_id = ANY (campaigns) AND m.user_id = of_user;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    UPDATE quest_instance q SET user_id = pseudonym, instance_key = erase_text(q.instance_key, salt),
        start_event_id = q.start_event_key::text, start_event_source = CASE WHEN q.start_event_key IS NOT NULL THEN 'erased' END,
        start_attributes = CASE WHEN q.start_attributes IS NOT NULL THEN '{}'::jsonb END, revision = q.revision + 1,
        steps = q.steps || '[]'  -- written anew, so that the announcement has them: for its readers it is another instance
    WHERE q.tenant_id = of_tenant AND q.user_id = of_user;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    UPDATE wallet_lot l SET user_id = pseudonym
    WHERE l.tenant_id = of_tenant AND l.lot_id IN (
        SELECT i.incentive_id FROM incentive i WHERE i.tenant_id = of_tenant AND i.user_id = of_user AND i.kind = 'points'
        UNION ALL
        SELECT t.transfer_id FROM wallet_transfer t WHERE t.tenant_id = of_tenant AND t.user_id IN (of_user, pseudonym) AND t.kind = 'adjust');
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    UPDATE wallet_refund r SET refund_id = erase_text(r.refund_id, salt)
    WHERE r.tenant_id = of_tenant AND r.transfer_id IN (
        SELECT t.transfer_id FROM wallet_transfer t WHERE t.tenant_id = of_tenant AND t.user_id IN (of_user, pseudonym) AND t.kind = 'spend');
    UPDATE wallet_draw d SET user_id = pseudonym WHERE d.tenant_id = of_tenant AND d.user_id = of_user;
    UPDATE wallet w SET user_id = pseudonym WHERE w.tenant_id = of_tenant AND w.user_id = of_user;

    UPDATE incentive i SET user_id = pseudonym, event_id = d.event_key::text, event_source = 'erased',
        reservation_id = erase_text(i.reservation_id, salt)
    FROM decision d
    WHERE i.tenant_id = of_tenant AND i.user_id = of_user AND d.tenant_id = i.tenant_id AND d.decision_id = i.decision_id;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    moved := moved + erase_history(of_tenant, of_user, pseudonym, salt, 'infinity', NULL);

    UPDATE reversed_line n SET line = erase_text(n.line, salt)
    WHERE n.tenant_id = of_tenant AND n.event_key IN (
        SELECT r.event_key FROM reversal r WHERE r.tenant_id = of_tenant AND r.user_id = of_user);
    UPDATE reversal r SET user_id = pseudonym, reversal_id = erase_text(r.reversal_id, salt), reversal_source = 'erased',
        event_id = r.event_key::text, event_source = 'erased',
        request = jsonb_build_object('event_id', r.event_key, 'event_source', 'erased')
            || jsonb_strip_nulls(jsonb_build_object('amount', r.request -> 'amount', 'of', r.request -> 'of')),
        counters = erase_returns(r.counters, of_user, pseudonym, salt), quests = erase_instances(r.quests, salt),
        -- an original that comes now is another user's
        state = CASE r.state WHEN 'waiting' THEN 'refused' ELSE r.state END,
        reason = CASE r.state WHEN 'waiting' THEN 'other_user' ELSE r.reason END, decided_at = coalesce(r.decided_at, clock_timestamp())
    WHERE r.tenant_id = of_tenant AND r.user_id = of_user;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    UPDATE inbox_head h SET user_id = pseudonym WHERE h.tenant_id = of_tenant AND h.user_id = of_user;
    UPDATE badge_held b SET user_id = pseudonym WHERE b.tenant_id = of_tenant AND b.user_id = of_user;
    UPDATE cohort_tally t SET user_id = pseudonym
    WHERE t.tenant_id = of_tenant AND t.user_id = of_user AND t.rule_id IN (
        SELECT r.rule_id FROM cohort_rule r WHERE r.tenant_id = of_tenant
        UNION ALL SELECT l.rule_id FROM cohort_rule_left l WHERE l.tenant_id = of_tenant);
    DELETE FROM gateway_ticket g WHERE g.tenant_id = of_tenant AND g.user_id = of_user;
    UPDATE user_number n SET user_id = pseudonym WHERE n.tenant_id = of_tenant AND n.user_id = of_user;

    DELETE FROM end_user u WHERE u.tenant_id = of_tenant AND u.user_id = of_user
    RETURNING octet_length(u.attributes::text) INTO freed;
    -- the ring of changes forgets the id too; whoever keeps users finds more changes than it holds, and forgets all of them
    INSERT INTO user_change_head AS h (tenant_id, last_number, erased) VALUES (of_tenant, 4097, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET last_number = h.last_number + 4097, erased = h.erased + 1;
    DELETE FROM user_change c WHERE c.tenant_id = of_tenant AND c.user_id = of_user;
    UPDATE tenant_usage t SET stored_bytes = greatest(0, t.stored_bytes - freed) WHERE t.tenant_id = of_tenant AND freed > 0;
    RETURN NEXT;
END $$;

-- Holds: points that a checkout sets aside; gifts: points that go from one user to another. Locks wallets and transfers of points for as long as the latter are checked.
ALTER TABLE wallet ADD COLUMN held bigint NOT NULL DEFAULT 0 CHECK (held >= 0); -- set aside by holds
ALTER TABLE wallet_transfer
    DROP CONSTRAINT wallet_transfer_kind_check, DROP CONSTRAINT wallet_transfer_debit_check, DROP CONSTRAINT wallet_transfer_credit_check,
    ADD CONSTRAINT wallet_transfer_kind_check CHECK (kind IN (
        'grant', 'activate', 'spend', 'refund', 'expire', 'reverse', 'adjust', 'hold', 'capture', 'release', 'give', 'receive')),
    ADD CONSTRAINT wallet_transfer_debit_check CHECK (debit IN ('issued', 'pending', 'active', 'held', 'spent', 'expired', 'reversed')),
    ADD CONSTRAINT wallet_transfer_credit_check CHECK (credit IN ('issued', 'pending', 'active', 'held', 'spent', 'expired', 'reversed'));

-- A hold of points. Its transfer_id is that of the spend of the same id, which it is once it was captured; what it gives back is a row
-- of wallet_refund with an empty id.
CREATE TABLE wallet_hold (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    transfer_id   uuid NOT NULL,         -- that made it
    user_id       text NOT NULL CHECK (octet_length(user_id) <= 256),
    currency      text NOT NULL CHECK (octet_length(currency) <= 32),
    seq           bigint NOT NULL,       -- of its transfer
    hold_id       text NOT NULL CHECK (octet_length(hold_id) <= 256),
    amount        bigint NOT NULL CHECK (amount > 0),
    held_until    timestamptz NOT NULL,
    due_at        timestamptz,           -- when something of it is to be moved: at its time-out, or while more of it is to come back
    state         text NOT NULL CHECK (state IN ('held', 'captured', 'voided', 'timed_out')),
    captured      bigint NOT NULL CHECK (captured BETWEEN 0 AND amount),
    ended_at      timestamptz,
    PRIMARY KEY (tenant_id, transfer_id),
    CHECK ((state = 'captured') = (captured > 0)),
    CHECK ((state = 'held') = (ended_at IS NULL))
);
CREATE INDEX wallet_hold_by_wallet ON wallet_hold (tenant_id, user_id, currency, seq);
CREATE INDEX wallet_hold_due ON wallet_hold (tenant_id, due_at) WHERE due_at IS NOT NULL;

ALTER TABLE wallet_hold ENABLE ROW LEVEL SECURITY;
ALTER TABLE wallet_hold FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON wallet_hold TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY batch_tenants ON wallet_hold TO fillip_worker
    USING (tenant_id IN (SELECT unnest(string_to_array(current_setting('app.tenants', true), ','))));
CREATE POLICY find_due ON wallet_hold FOR SELECT TO fillip_sweep USING (true);
CREATE POLICY erase ON wallet_hold TO fillip_eraser USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT, UPDATE ON wallet_hold TO fillip_api, fillip_worker;
GRANT SELECT (tenant_id, user_id, currency, transfer_id, due_at) ON wallet_hold TO fillip_sweep;
GRANT SELECT, UPDATE ON wallet_hold TO fillip_eraser;
GRANT SELECT, INSERT, UPDATE ON wallet_refund TO fillip_worker; -- who times out gives back

-- Of a user's past, so many rows of each table: decisions made by `before`, what was told, what became of incentives, transfers. Who decides
-- meanwhile needs none of them: it adds to them behind the user's locked heads, and reversals are refused once the events are
-- the pseudonym's. Locks the rows that it moves. How many it moved.
CREATE OR REPLACE FUNCTION erase_history(
    of_tenant text, of_user text, pseudonym text, salt uuid, before timestamptz, most bigint
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved bigint := 0;
    many bigint;
BEGIN
    WITH page AS (
        SELECT decision_id FROM decision
        WHERE tenant_id = of_tenant AND user_id = of_user AND decided_at <= before LIMIT most
    )
    UPDATE decision d SET user_id = pseudonym, event_id = d.event_key::text, event_source = 'erased',
        instance = erase_instance(d.instance, salt), user_attributes = NULL, user_revision = NULL, cohorts = '{}',
        limits = CASE WHEN d.limits = '[]' THEN d.limits ELSE erase_uses(d.limits, (
            SELECT array_agg(u ->> 'limit_id') FROM jsonb_array_elements(d.limits) AS u
            WHERE EXISTS (SELECT FROM limit_counter c WHERE c.tenant_id = of_tenant AND c.limit_id = u ->> 'limit_id'
                          AND c.user_id IN (of_user, pseudonym))
               OR EXISTS (SELECT FROM spending_limit l WHERE l.tenant_id = of_tenant AND l.limit_id = u ->> 'limit_id'
                          AND l.scope IN ('user', 'user_in_campaign'))), salt) END
    FROM page WHERE d.tenant_id = of_tenant AND d.decision_id = page.decision_id;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (
        SELECT transfer_id FROM wallet_transfer WHERE tenant_id = of_tenant AND user_id = of_user LIMIT most
    )
    UPDATE wallet_transfer t SET user_id = pseudonym,
        reason = CASE t.kind WHEN 'adjust' THEN 'erased' ELSE erase_text(t.reason, salt) END,
        source_id = CASE WHEN t.kind IN ('spend', 'refund', 'adjust', 'hold', 'capture', 'release', 'give') THEN erase_text(t.source_id, salt)
            ELSE t.source_id END
    FROM page WHERE t.tenant_id = of_tenant AND t.transfer_id = page.transfer_id;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (SELECT seq FROM inbox WHERE tenant_id = of_tenant AND user_id = of_user LIMIT most)
    UPDATE inbox i SET user_id = pseudonym FROM page WHERE i.tenant_id = of_tenant AND i.user_id = of_user AND i.seq = page.seq;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (
        SELECT c.inbox_seq, d.event_key
        FROM incentive_change c JOIN decision d ON d.tenant_id = c.tenant_id AND d.decision_id = c.decision_id
        WHERE c.tenant_id = of_tenant AND c.user_id = of_user LIMIT most
    )
    UPDATE incentive_change c SET user_id = pseudonym, event_id = page.event_key::text, event_source = 'erased', reason = NULL,
        reversal_id = erase_text(c.reversal_id, salt),
        reversal_source = CASE WHEN c.reversal_source IS NOT NULL THEN 'erased' END
    FROM page WHERE c.tenant_id = of_tenant AND c.user_id = of_user AND c.inbox_seq = page.inbox_seq;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    RETURN moved;
END $$;

-- Waits for the batches that decide for the tenant, and has its limits alone until the commit: so nothing is decided of the user
-- half before and half after. Then instances, incentives, counters, wallets, inbox and badges, in the lock order; at the end the user's
-- row, the head of its changes, and the tenant's sums. How many rows were moved, and up to which instant decisions were the user's.
CREATE OR REPLACE FUNCTION erase_user(of_tenant text, of_user text, pseudonym text, salt uuid) RETURNS TABLE (moved bigint, cut_at timestamptz)
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

    -- every lot is named by the transfer that made it, whatever that was
    UPDATE wallet_lot l SET user_id = pseudonym
    WHERE l.tenant_id = of_tenant AND l.user_id = of_user AND l.lot_id IN (
        SELECT n.lot_id::uuid FROM wallet_transfer t CROSS JOIN LATERAL jsonb_object_keys(t.lots) AS n (lot_id)
        WHERE t.tenant_id = of_tenant AND t.user_id IN (of_user, pseudonym) AND t.credit IN ('pending', 'active'));
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    UPDATE wallet_refund r SET refund_id = erase_text(r.refund_id, salt)
    WHERE r.tenant_id = of_tenant AND r.refund_id <> '' AND r.transfer_id IN (
        SELECT t.transfer_id FROM wallet_transfer t
        WHERE t.tenant_id = of_tenant AND t.user_id IN (of_user, pseudonym) AND t.kind IN ('spend', 'hold'));
    UPDATE wallet_hold h SET user_id = pseudonym, hold_id = erase_text(h.hold_id, salt)
    WHERE h.tenant_id = of_tenant AND h.user_id = of_user;
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

-- What moves rows that nobody changes any more to the pseudonym, so many of each table at a time. Locks nothing by itself.

-- Of a user's past, so many rows of each table: decisions made by `before`, what was told, what became of incentives, transfers. Who decides
-- meanwhile needs none of them: it adds to them behind the user's locked heads, and reversals are refused once the events are
-- the pseudonym's. Locks the rows that it moves. How many it moved.
CREATE FUNCTION erase_history(
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
        source_id = CASE WHEN t.kind IN ('spend', 'refund', 'adjust') THEN erase_text(t.source_id, salt) ELSE t.source_id END
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

-- Of recorded events the next `most` of the tenant behind `after`: those of the user that were received by `cut_at`. Locks these.
-- Their names go, their keys and fingerprints stay: so one that is sent again is known again. `last` is NULL at the end.
CREATE FUNCTION erase_events(
    of_tenant text, of_user text, pseudonym text, cut_at timestamptz, after uuid, most integer
) RETURNS TABLE (last uuid, moved bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH page AS MATERIALIZED (
        SELECT e.event_key, e.user_id, e.received_at FROM event_met e
        WHERE e.tenant_id = of_tenant AND e.event_key > after ORDER BY e.event_key LIMIT most
    ), changed AS (
        UPDATE event_met e SET user_id = pseudonym, event_id = e.event_key::text, event_source = 'erased', attributes = '{}'
        FROM page p
        WHERE e.tenant_id = of_tenant AND e.event_key = p.event_key AND p.user_id = of_user AND p.received_at <= cut_at
          AND e.user_id = of_user
        RETURNING 1
    )
    SELECT (SELECT p.event_key FROM page p ORDER BY p.event_key OFFSET most - 1), (SELECT count(*) FROM changed)
$$;

-- Of rejected events the bytes as they came, the names and the detail. Locks these rows. How many.
CREATE FUNCTION erase_rejections(of_tenant text, pseudonym text, ids uuid[]) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH changed AS (
        UPDATE rejection r SET original = '', detail = 'erased', event_id = pseudonym, event_source = 'erased'
        WHERE r.tenant_id = of_tenant AND r.rejection_id = ANY (ids)
        RETURNING 1
    )
    SELECT count(*) FROM changed
$$;

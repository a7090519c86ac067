-- Gifts: points that go from one user to another. Locks transfers of points for as long as they are checked.
ALTER TABLE wallet_transfer
    DROP CONSTRAINT wallet_transfer_kind_check,
    ADD CONSTRAINT wallet_transfer_kind_check CHECK (kind IN (
        'grant', 'activate', 'spend', 'refund', 'expire', 'reverse', 'adjust', 'hold', 'capture', 'release', 'give', 'receive'));

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
        source_id = CASE WHEN t.kind IN ('spend', 'refund', 'adjust', 'hold', 'capture', 'release', 'give') THEN erase_text(t.source_id, salt) ELSE t.source_id END
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

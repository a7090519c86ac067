-- What becomes of incentives of a merged user is told to who that is now; and an erased user's merges go. Locks nothing by itself.

-- As 0001_change.sql has it, but for `told_to`.
CREATE OR REPLACE FUNCTION tell_changes(
    change text, tenants text[], incentives uuid[], changed_values bigint[], reasons text[], reversals text[]
) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH told AS (
        SELECT i.*, t.changed_value, t.reason, t.reversal_id, t.place, coalesce(m.merged_into, i.user_id) AS told_to
        FROM unnest(tenants, incentives, changed_values, reasons, reversals) WITH ORDINALITY
          AS t (tenant_id, incentive_id, changed_value, reason, reversal_id, place)
        JOIN incentive i USING (tenant_id, incentive_id)
        LEFT JOIN user_merge m ON m.tenant_id = i.tenant_id AND m.user_id = i.user_id
    ), heads AS (
        INSERT INTO inbox_head AS h (tenant_id, user_id, last_seq)
        SELECT told.tenant_id, told.told_to, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_seq = h.last_seq + excluded.last_seq
        RETURNING h.tenant_id, h.user_id, h.last_seq
    ), numbered AS (
        SELECT told.*, heads.last_seq + 1 - row_number() OVER (
                   PARTITION BY told.tenant_id, told.told_to ORDER BY told.place DESC) AS seq
        FROM told JOIN heads ON heads.tenant_id = told.tenant_id AND heads.user_id = told.told_to
    ), listed AS (
        INSERT INTO inbox (tenant_id, user_id, seq, incentive_id, kind)
        SELECT n.tenant_id, n.told_to, n.seq, n.incentive_id, tell_changes.change FROM numbered n
    ), changed AS (
        INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id,
                                      event_source, kind, value, currency, payload, coupon_code, expires_at, granted_at, change,
                                      changed_value, reversed_value, reason, reversal_id)
        SELECT n.tenant_id, n.told_to, n.seq, n.incentive_id, n.decision_id, n.campaign_id, n.event_id, n.event_source, n.kind, n.value,
               n.currency, n.payload, n.coupon_code, n.expires_at, n.granted_at, tell_changes.change, n.changed_value, n.reversed_value, n.reason,
               n.reversal_id
        FROM numbered n ORDER BY n.place
        RETURNING 1
    )
    SELECT count(*) FROM changed
$$;

-- Of a user that erase_user has just moved to the pseudonym, in the same transaction: lots that came by merges and that no other transfer names, and who
-- was merged into it; these are erased as users of their own from now on, and told.
CREATE FUNCTION erase_merges(of_tenant text, of_user text, pseudonym text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE wallet_lot l SET user_id = pseudonym
    WHERE l.tenant_id = of_tenant AND l.user_id = of_user AND l.lot_id IN (
        SELECT n.lot_id::uuid FROM wallet_transfer t CROSS JOIN LATERAL jsonb_object_keys(t.lots) AS n (lot_id)
        WHERE t.tenant_id = of_tenant AND t.user_id = pseudonym AND t.kind = 'merge');
    RETURN QUERY DELETE FROM user_merge m WHERE m.tenant_id = of_tenant AND m.merged_into = of_user RETURNING m.user_id;
END $$;
GRANT CREATE ON SCHEMA public TO fillip_eraser;
ALTER FUNCTION erase_merges(text, text, text) OWNER TO fillip_eraser;
REVOKE CREATE ON SCHEMA public FROM fillip_eraser;
REVOKE ALL ON FUNCTION erase_merges(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_merges(text, text, text) TO fillip_api;

-- An erasure that is a part of another one: of an id that was merged into its user. The whole is done when its parts are.
ALTER TABLE erasure ADD COLUMN part_of uuid;
CREATE INDEX erasure_parts ON erasure (tenant_id, part_of) WHERE part_of IS NOT NULL AND state = 'running';

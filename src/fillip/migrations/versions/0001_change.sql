-- What became of incentives after their grant. Each row has an inbox entry of the same number, and is announced.
CREATE TABLE incentive_change (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    inbox_seq      bigint NOT NULL,
    incentive_id   uuid NOT NULL,
    decision_id    uuid NOT NULL,
    campaign_id    text NOT NULL,
    event_id       text NOT NULL,
    event_source   text NOT NULL,
    kind           text NOT NULL,
    value          bigint NOT NULL,          -- as granted
    currency       text,
    payload        jsonb,
    coupon_code    text,
    expires_at     timestamptz,
    granted_at     timestamptz NOT NULL,
    change         text NOT NULL CHECK (change IN ('reversed', 'expired')),
    changed_value  bigint NOT NULL CHECK (changed_value BETWEEN 0 AND value),   -- what this change took
    reversed_value bigint NOT NULL CHECK (reversed_value BETWEEN 0 AND value),  -- taken back by reversals so far
    reason         text,
    reversal_id    text,
    reversal_source text,
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, user_id, inbox_seq)
);
CREATE INDEX incentive_change_by_incentive ON incentive_change (tenant_id, incentive_id);

-- Tells the users of incentives what became of them: the next numbers of their inboxes, in the order of the arrays.
-- Call after the incentives were updated, in a statement of its own; it locks the inbox heads, sorted. Returns how
-- many were told.
CREATE FUNCTION tell_changes(
    change text, tenants text[], incentives uuid[], changed_values bigint[], reasons text[], reversals text[]
) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH told AS (
        SELECT i.*, t.changed_value, t.reason, t.reversal_id, t.place
        FROM unnest(tenants, incentives, changed_values, reasons, reversals) WITH ORDINALITY
          AS t (tenant_id, incentive_id, changed_value, reason, reversal_id, place)
        JOIN incentive i USING (tenant_id, incentive_id)
    ), heads AS (
        INSERT INTO inbox_head AS h (tenant_id, user_id, last_seq)
        SELECT told.tenant_id, told.user_id, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_seq = h.last_seq + excluded.last_seq
        RETURNING h.tenant_id, h.user_id, h.last_seq
    ), numbered AS (
        SELECT told.*, heads.last_seq + 1 - row_number() OVER (
                   PARTITION BY told.tenant_id, told.user_id ORDER BY told.place DESC) AS seq
        FROM told JOIN heads USING (tenant_id, user_id)
    ), listed AS (
        INSERT INTO inbox (tenant_id, user_id, seq, incentive_id, kind)
        SELECT n.tenant_id, n.user_id, n.seq, n.incentive_id, tell_changes.change FROM numbered n
    ), changed AS (
        INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id,
                                      event_source, kind, value, currency, payload, coupon_code, expires_at, granted_at, change,
                                      changed_value, reversed_value, reason, reversal_id)
        SELECT n.tenant_id, n.user_id, n.seq, n.incentive_id, n.decision_id, n.campaign_id, n.event_id, n.event_source, n.kind, n.value,
               n.currency, n.payload, n.coupon_code, n.expires_at, n.granted_at, tell_changes.change, n.changed_value, n.reversed_value, n.reason,
               n.reversal_id
        FROM numbered n ORDER BY n.place
        RETURNING 1
    )
    SELECT count(*) FROM changed
$$;

GRANT SELECT ON incentive_change TO fillip_api, fillip_gateway;
GRANT SELECT, INSERT ON incentive_change TO fillip_worker;
GRANT UPDATE ON incentive TO fillip_worker;

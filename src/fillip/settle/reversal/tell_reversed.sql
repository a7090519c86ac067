-- Tells the users of incentives what was taken of them, under the numbers of their inboxes that the batch has given out;
-- the inbox heads are locked and moved on already.
WITH told AS (
    SELECT i.*, coalesce(u.merged_into, i.user_id) AS told_to, t.seq, t.changed_value, t.by_now, t.reason, t.reversal_id, t.reversal_source, t.place
    FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[])
      WITH ORDINALITY
      AS t (tenant_id, incentive_id, seq, changed_value, by_now, reason, reversal_id, reversal_source, place)
    CROSS JOIN LATERAL (
        SELECT * FROM incentive h WHERE h.tenant_id = t.tenant_id AND h.incentive_id = t.incentive_id OFFSET 0
    ) i
    LEFT JOIN user_merge u ON u.tenant_id = i.tenant_id AND u.user_id = i.user_id
), listed AS (
    INSERT INTO inbox (tenant_id, user_id, seq, incentive_id, kind)
    SELECT n.tenant_id, n.told_to, n.seq, n.incentive_id, 'reversed' FROM told n
)
INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id,
                              event_source, kind, value, currency, payload, coupon_code, expires_at, granted_at, change, changed_value,
                              reversed_value, reason, reversal_id, reversal_source)
SELECT n.tenant_id, n.told_to, n.seq, n.incentive_id, n.decision_id, n.campaign_id, n.event_id,
       n.event_source, n.kind, n.value,
       n.currency, n.payload, n.coupon_code, n.expires_at, n.granted_at, 'reversed', n.changed_value, n.by_now, n.reason,
       n.reversal_id, n.reversal_source
FROM told n ORDER BY n.place

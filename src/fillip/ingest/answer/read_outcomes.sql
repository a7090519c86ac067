-- What came of receipts: a row for each of their first $7 decisions, or one without; $8 rows at most, by receipt. Locks nothing.
-- Decisions are those of the event's name and user, under whatever id by now: also of a receipt before, and none once the user was erased.
-- `owner` is who the receipt's user is by now, `rewards` are those of which there may be incentives, by index. Each OFFSET 0 has the one
-- index looked into that names the row, for each receipt: else a plan, made perhaps while the tables were empty, might walk over all rows
-- of a tenant.
SELECT r.number, j.rejection_id, j.reason AS rejected_for, j.detail, v.state AS reversal_state, v.reason AS reversal_reason,
       EXISTS (
           SELECT FROM backfill b JOIN backfill_waiting w USING (tenant_id, campaign_id)
           WHERE b.tenant_id = r.tenant_id AND b.handed_over_at IS NULL AND w.event_key = r.event_key OFFSET 0
       ) AS put_off,
       coalesce(n.merged_into, r.user_id) AS owner,
       EXISTS (SELECT FROM quest_step_met m WHERE m.tenant_id = r.tenant_id AND m.event_key = r.event_key OFFSET 0)
       OR EXISTS (SELECT FROM quest_instance q WHERE q.tenant_id = r.tenant_id AND q.start_event_key = r.event_key OFFSET 0) AS counted,
       d.*
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::int[], $6::bigint[])
  WITH ORDINALITY AS r (tenant_id, event_key, user_id, partition, generation, log_offset, number)
LEFT JOIN LATERAL (
    SELECT * FROM rejection j
    WHERE j.topic = $9 AND j.partition = r.partition AND j.generation = r.generation AND j.log_offset = r.log_offset
    OFFSET 0
) j ON j.tenant_id = r.tenant_id
LEFT JOIN LATERAL (
    SELECT * FROM reversal v WHERE v.tenant_id = r.tenant_id AND v.reversal_key = r.event_key OFFSET 0
) v ON true
LEFT JOIN LATERAL (
    SELECT * FROM user_merge n WHERE n.tenant_id = r.tenant_id AND n.user_id = r.user_id OFFSET 0
) n ON true
LEFT JOIN LATERAL (
    SELECT e.user_id, e.decision_id, e.campaign_id, e.campaign_version, e.instance, e.outcome, e.reason, e.outranked_by, e.variant, e.local_day,
           e.reward_values, e.shadow, e.limits, e.book_version, e.decided_at,
           CASE WHEN e.variant IS NULL THEN e.reward_values ELSE c.definition -> 'rewards' END AS rewards
    FROM (SELECT * FROM decision o WHERE o.tenant_id = r.tenant_id AND o.event_key = r.event_key OFFSET 0) e
    LEFT JOIN campaign_version c
      ON c.tenant_id = e.tenant_id AND c.campaign_id = e.campaign_id AND c.version = e.campaign_version
    WHERE e.user_id IN (r.user_id, n.merged_into) OR EXISTS (
        SELECT FROM (SELECT * FROM user_merge o WHERE o.tenant_id = r.tenant_id AND o.user_id = e.user_id OFFSET 0) u
        WHERE u.merged_into = coalesce(n.merged_into, r.user_id)
    )
    ORDER BY e.decided_at, e.campaign_id, e.instance LIMIT $7
) d ON j.rejection_id IS NULL
ORDER BY r.number, d.decided_at, d.campaign_id, d.instance LIMIT $8

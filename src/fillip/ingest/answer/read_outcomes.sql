-- What came of receipts: a row for each of their first $7 decisions, or one without; $8 rows at most, by receipt. Locks nothing.
-- Decisions are those of the event's name and user: also of a receipt before, and none once the user was erased.
SELECT r.number, j.rejection_id, j.reason AS rejected_for, j.detail, v.state AS reversal_state, v.reason AS reversal_reason,
       EXISTS (
           SELECT FROM backfill b JOIN backfill_waiting w USING (tenant_id, campaign_id)
           WHERE b.tenant_id = r.tenant_id AND b.handed_over_at IS NULL AND w.event_key = r.event_key
       ) AS put_off,
       EXISTS (SELECT FROM quest_step_met m WHERE m.tenant_id = r.tenant_id AND m.event_key = r.event_key)
       OR EXISTS (SELECT FROM quest_instance q WHERE q.tenant_id = r.tenant_id AND q.start_event_key = r.event_key) AS counted,
       d.*
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::int[], $6::bigint[])
  WITH ORDINALITY AS r (tenant_id, event_key, user_id, partition, generation, log_offset, number)
LEFT JOIN rejection j ON j.topic = $9 AND j.partition = r.partition AND j.generation = r.generation AND j.log_offset = r.log_offset
                         AND j.tenant_id = r.tenant_id
LEFT JOIN reversal v ON v.tenant_id = r.tenant_id AND v.reversal_key = r.event_key
LEFT JOIN LATERAL (
    SELECT d.decision_id, d.campaign_id, d.campaign_version, d.instance, d.outcome, d.reason, d.outranked_by, d.variant, d.local_day,
           d.reward_values, d.shadow, d.limits, d.book_version, d.decided_at
    FROM decision d
    WHERE d.tenant_id = r.tenant_id AND d.event_key = r.event_key AND d.user_id = r.user_id
    ORDER BY d.decided_at, d.campaign_id, d.instance LIMIT $7
) d ON j.rejection_id IS NULL
ORDER BY r.number, d.decided_at, d.campaign_id, d.instance LIMIT $8

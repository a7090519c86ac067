-- Some of a campaign's grants for what happened in a time, behind a mark, in the order of deciding; whether anything of the event was
-- taken back. Locks nothing.
SELECT d.decided_at, d.decision_id, d.event_key, d.event_source, d.event_id, d.user_id, d.occurred_at, d.partition, d.log_offset,
       d.instance, d.outcome, d.reason, d.reward_values::text AS reward_values, d.limits::text AS limits,
       EXISTS (
           SELECT FROM reversal r WHERE r.tenant_id = d.tenant_id AND r.event_key = d.event_key AND r.state = 'applied'
       ) AS is_reversed
FROM (
    SELECT * FROM decision g
    WHERE g.tenant_id = $1 AND g.campaign_id = $2 AND g.outcome = 'granted' AND g.occurred_at >= $3 AND g.occurred_at < $4
      AND (g.decided_at, g.decision_id) > ($5, $6)
    ORDER BY g.decided_at, g.decision_id
    LIMIT $7
) d
ORDER BY d.decided_at, d.decision_id

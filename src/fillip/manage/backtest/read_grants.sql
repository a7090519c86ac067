-- Some of a campaign's grants, but for those by hand, for what happened in a time, behind a mark, in the order of deciding; what was taken back of the event by
-- the last reversal of it, whether limits get that back, how many reward indexes incentives may have, those that were `given` to its variant, and
-- what each reward says of returns in part. Locks nothing.
SELECT d.decided_at, d.decision_id, d.campaign_id, d.event_key, d.event_source, d.event_id, d.user_id, d.occurred_at, d.partition,
       d.log_offset, d.instance, d.outcome, d.reason, d.reward_values::text AS reward_values, d.limits::text AS limits,
       coalesce((v.definition ->> 'give_back')::bool, true) AS give_back,
       jsonb_array_length(CASE WHEN d.variant IS NULL THEN d.reward_values ELSE v.definition -> 'rewards' END) AS rewards,
       ARRAY(
           SELECT reward ->> 'on_partial' FROM jsonb_array_elements(v.definition -> 'rewards') WITH ORDINALITY AS n (reward, place) ORDER BY place
       ) AS on_partial,
       ARRAY(
           SELECT place - 1 FROM jsonb_array_elements(v.definition -> 'rewards') WITH ORDINALITY AS n (reward, place)
           WHERE d.variant IS NULL OR coalesce(reward -> 'variants', '[]') = '[]' OR reward -> 'variants' ? d.variant ORDER BY place
       ) AS given, newest.share, newest.reevaluations::text AS reevaluations
FROM (
    SELECT * FROM decision g
    WHERE g.tenant_id = $1 AND g.campaign_id = $2 AND g.outcome = 'granted' AND g.event_source <> 'fillip.grant' AND g.occurred_at >= $3 AND g.occurred_at < $4
      AND (g.decided_at, g.decision_id) > ($5, $6)
    ORDER BY g.decided_at, g.decision_id
    LIMIT $7
) d
LEFT JOIN campaign_version v
  ON v.tenant_id = d.tenant_id AND v.campaign_id = d.campaign_id AND v.version = d.campaign_version
LEFT JOIN LATERAL (
    SELECT r.share, r.reevaluations FROM reversal r
    WHERE r.tenant_id = d.tenant_id AND r.event_key = d.event_key AND r.state = 'applied'
    ORDER BY r.number DESC LIMIT 1
) newest ON true
ORDER BY d.decided_at, d.decision_id

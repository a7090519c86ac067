-- Who met a campaign on some days, when first, and what they were then: held out, of a control, or offered it.
SELECT user_id, met_at, was.place AS place, was.variant AS variant
FROM (
    SELECT user_id, min(occurred_at) AS met_at,
           arg_min(struct_pack(place := CASE WHEN reason IN ('holdout', 'control') THEN reason ELSE 'offered' END,
                               variant := variant), occurred_at) AS was
    FROM decision_fact
    WHERE tenant_id = $tenant_id AND campaign_id = $campaign_id AND local_day BETWEEN $first AND $last
      AND reason <> 'paused' AND NOT coalesce(shadow, false) AND occurred_at IS NOT NULL
    GROUP BY user_id
)

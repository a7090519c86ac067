-- What was granted for these events. Locks nothing: decisions never change. Whether caps are given back goes by the version of the campaign that granted.
-- `rewards` is how many reward indexes its incentives may have: what a variant was given may be the last of the version's rewards; `on_partial` is what each of
-- these says of returns in part.
SELECT d.tenant_id, d.event_key, d.decision_id, d.campaign_id, coalesce(u.merged_into, d.user_id) AS user_id, d.instance, d.limits::text AS limits,
       jsonb_array_length(CASE WHEN d.variant IS NULL THEN d.reward_values ELSE v.definition -> 'rewards' END) AS rewards,
       coalesce((v.definition ->> 'give_back')::bool, true) AS give_back,
       ARRAY(
           SELECT reward ->> 'on_partial' FROM jsonb_array_elements(v.definition -> 'rewards') WITH ORDINALITY AS r (reward, place) ORDER BY place
       ) AS on_partial
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, event_key)
CROSS JOIN LATERAL (
    SELECT * FROM decision g
    WHERE g.tenant_id = asked.tenant_id AND g.event_key = asked.event_key AND g.outcome = 'granted'
    OFFSET 0
) d
LEFT JOIN user_merge u ON u.tenant_id = d.tenant_id AND u.user_id = d.user_id
LEFT JOIN campaign_version v
  ON v.tenant_id = d.tenant_id AND v.campaign_id = d.campaign_id AND v.version = d.campaign_version
ORDER BY d.tenant_id, d.event_key, d.decision_id

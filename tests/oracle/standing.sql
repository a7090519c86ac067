SELECT jsonb_build_array('incentive', d.campaign_id, d.instance, d.event_source || ' ' || d.event_id, i.reward_index),
       jsonb_build_array(i.state, i.reversed_value, (extract(epoch FROM i.expires_at) * 1000000)::bigint)
FROM incentive i JOIN decision d USING (tenant_id, decision_id)
WHERE i.tenant_id = %(tenant)s
UNION ALL
SELECT jsonb_build_array('lot', d.campaign_id, d.instance, d.event_source || ' ' || d.event_id, i.reward_index),
       jsonb_build_array(l.user_id, l.remaining, l.reversed,
           (extract(epoch FROM l.available_at) * 1000000)::bigint, (extract(epoch FROM l.expires_at) * 1000000)::bigint)
FROM wallet_lot l
JOIN incentive i ON i.tenant_id = l.tenant_id AND i.incentive_id = l.lot_id
JOIN decision d ON d.tenant_id = i.tenant_id AND d.decision_id = i.decision_id
WHERE l.tenant_id = %(tenant)s
UNION ALL
SELECT jsonb_build_array('counter', limit_id, user_id, key, window_start), to_jsonb(used)
FROM limit_counter WHERE tenant_id = %(tenant)s AND used <> 0
UNION ALL
SELECT jsonb_build_array('badge', user_id, badge_id), to_jsonb(true)
FROM badge_held b
WHERE tenant_id = %(tenant)s AND NOT EXISTS (SELECT FROM user_merge m WHERE m.tenant_id = b.tenant_id AND m.user_id = b.user_id)
UNION ALL
SELECT jsonb_build_array('wallet', user_id, currency), jsonb_build_array(active + pending, reversed)
FROM wallet WHERE tenant_id = %(tenant)s AND (active + pending, reversed) <> (0, 0)
UNION ALL
SELECT jsonb_build_array('quest', campaign_id, user_id, instance_key, occurrence),
       jsonb_build_array(state, campaign_version, jsonb_path_query_array(steps, '$[*].done'))
FROM quest_instance WHERE tenant_id = %(tenant)s

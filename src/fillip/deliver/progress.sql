-- How far a user's quest instances are. Locks nothing.
-- The instances named ($3..$5), and of the user's others the newest $6 that are open: in a live tenant nothing more can
-- come for one whose window and lateness are over, though no event has found it so yet.
-- Instants come as text: one that Python has no words for must not hide the others.
SELECT campaign_id, instance_key, occurrence, state, steps::text AS steps, to_jsonb(started_at) #>> '{}' AS started_at,
       to_jsonb(ends_at) #>> '{}' AS ends_at, revision
FROM (
    SELECT i.campaign_id, i.instance_key, i.occurrence, i.state, i.steps, i.started_at, i.ends_at, i.revision
    FROM unnest($3::text[], $4::text[], $5::int[]) AS named (campaign_id, instance_key, occurrence)
    JOIN quest_instance i USING (campaign_id, instance_key, occurrence)
    WHERE i.tenant_id = $1 AND i.user_id = $2
    UNION
    (SELECT i.campaign_id, i.instance_key, i.occurrence, i.state, i.steps, i.started_at, i.ends_at, i.revision
     FROM quest_instance i
     JOIN tenant t USING (tenant_id)
     JOIN campaign_version v ON v.tenant_id = i.tenant_id AND v.campaign_id = i.campaign_id AND v.version = i.campaign_version
     WHERE i.tenant_id = $1 AND i.user_id = $2 AND i.state = 'open'
       AND (t.clock <> 'live' OR i.ends_at IS NULL OR i.ends_at >= now() - make_interval(
                secs => coalesce((v.definition -> 'quest' ->> 'lateness_s')::int, 0)))
     ORDER BY i.started_at DESC, i.campaign_id, i.instance_key, i.occurrence LIMIT $6)
) AS shown
ORDER BY shown.started_at, campaign_id, instance_key, occurrence

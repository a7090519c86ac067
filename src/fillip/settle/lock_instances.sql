-- The newest instance of each quest; asked for in sorted order, so locked in it.
SELECT q.*
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (tenant_id, campaign_id, user_id, place)
CROSS JOIN LATERAL (
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.occurrence, i.campaign_version, i.state, i.started_at, i.ends_at,
           i.start_event_id, i.step, i.counts
    FROM quest_instance i
    WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
    ORDER BY i.occurrence DESC LIMIT 1
    FOR UPDATE
) q
ORDER BY asked.place

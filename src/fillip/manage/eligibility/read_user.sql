-- What is known of a user ($2), in one row: attributes at their revision, with levels, and their own time zone, as the worker reads them; where
-- $3 says so their open instances of all quests, the 1,000 that began last; and where $4 does, of 1,000 quests without a key, the newest instance if
-- it is not open: by the index from quest to quest, however many instances there are of each. Locks nothing.
WITH RECURSIVE quest AS (
    (SELECT q.campaign_id FROM quest_instance q WHERE $4 AND q.tenant_id = $1 AND q.user_id = $2 ORDER BY q.campaign_id LIMIT 1)
    UNION ALL
    SELECT next.campaign_id
    FROM quest
    CROSS JOIN LATERAL (
        SELECT q.campaign_id FROM quest_instance q
        WHERE q.tenant_id = $1 AND q.user_id = $2 AND q.campaign_id > quest.campaign_id
        ORDER BY q.campaign_id LIMIT 1
    ) next
)
SELECT u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone, ARRAY(
    SELECT i FROM (
        (SELECT q.campaign_id, q.instance_key, q.occurrence, q.campaign_version, q.state, q.started_at, q.ends_at, q.start_event_key,
                q.start_event_id, q.start_event_source, q.start_offset, q.steps::text AS steps, q.start_attributes::text AS start_attributes,
                q.completed_by, q.route
         FROM quest_instance q
         WHERE $3 AND q.tenant_id = $1 AND q.user_id = $2 AND q.state = 'open'
         ORDER BY q.started_at DESC LIMIT 1000)
        UNION ALL
        SELECT newest.campaign_id, newest.instance_key, newest.occurrence, newest.campaign_version, newest.state, newest.started_at,
               newest.ends_at, newest.start_event_key, newest.start_event_id, newest.start_event_source, newest.start_offset,
               newest.steps::text, newest.start_attributes::text, newest.completed_by, newest.route
        FROM (SELECT quest.campaign_id FROM quest LIMIT 1000) asked
        CROSS JOIN LATERAL (
            SELECT q.* FROM quest_instance q
            WHERE q.tenant_id = $1 AND q.user_id = $2 AND q.campaign_id = asked.campaign_id AND q.instance_key = ''
            ORDER BY q.occurrence DESC LIMIT 1
        ) newest
        WHERE newest.state <> 'open'
    ) i
) AS instances
FROM (VALUES (true)) AS asked LEFT JOIN read_users(ARRAY[$1::text], ARRAY[$2::text]) u ON true

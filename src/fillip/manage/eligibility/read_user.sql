-- What is known of a user ($2), in one row: attributes at their revision, with levels, and their own time zone, as the worker reads them; and
-- where $3 says so their open instances of all quests, the 1,000 that began last. Locks nothing.
SELECT u.revision, convert_to(u.attributes::text, 'UTF8') AS attributes, u.time_zone, ARRAY(
    SELECT i FROM (
        SELECT q.campaign_id, q.instance_key, q.occurrence, q.campaign_version, q.state, q.started_at, q.ends_at, q.start_event_key,
               q.start_event_id, q.start_event_source, q.start_offset, q.steps::text AS steps, q.start_attributes::text AS start_attributes,
               q.completed_by, q.route
        FROM quest_instance q
        WHERE $3 AND q.tenant_id = $1 AND q.user_id = $2 AND q.state = 'open'
        ORDER BY q.started_at DESC LIMIT 1000
    ) i
) AS instances
FROM (VALUES (true)) AS asked LEFT JOIN read_users(ARRAY[$1::text], ARRAY[$2::text]) u ON true

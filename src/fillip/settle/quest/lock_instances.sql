-- The instances that a batch may matter to, locked in the order of their keys: of each quest ($12..$16) those lapsed that
-- end at $15 or later, and some open that end before $16; of $1..$3 all open, of $4..$7 those open of a route, of $8..$11
-- those open of a key and the newest. Each by an index: what is open beside them costs nothing.
WITH found AS MATERIALIZED (
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, campaign_id, user_id)
    CROSS JOIN LATERAL (
        SELECT i.* FROM quest_instance i
        WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
          AND i.state = 'open'
        OFFSET 0
    ) i
    UNION
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[]) AS asked (tenant_id, campaign_id, user_id, route)
    CROSS JOIN LATERAL (
        SELECT i.* FROM quest_instance i
        WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
          AND i.route = asked.route AND i.state = 'open'
        OFFSET 0
    ) i
    UNION
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM unnest($8::text[], $9::text[], $10::text[], $11::text[]) AS asked (tenant_id, campaign_id, user_id, key)
    CROSS JOIN LATERAL (
        (SELECT i.* FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.instance_key = asked.key AND i.state = 'open')
        UNION ALL
        (SELECT i.* FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.instance_key = asked.key
         ORDER BY i.occurrence DESC LIMIT 1)
        OFFSET 0
    ) i
    UNION
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence
    FROM unnest($12::text[], $13::text[], $14::text[], $15::timestamptz[], $16::timestamptz[])
      AS asked (tenant_id, campaign_id, user_id, first, last)
    CROSS JOIN LATERAL (
        (SELECT i.* FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.state = 'lapsed' AND i.ends_at >= asked.first)
        UNION ALL
        (SELECT i.* FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.state = 'open' AND i.ends_at < asked.last
         ORDER BY i.ends_at LIMIT 20)
        OFFSET 0
    ) i
)
SELECT i.*
FROM (SELECT * FROM found ORDER BY tenant_id, campaign_id, user_id, instance_key, occurrence) f
CROSS JOIN LATERAL (
    SELECT i.tenant_id, i.campaign_id, i.user_id, i.instance_key, i.occurrence, i.campaign_version, i.state,
           i.started_at, i.ends_at, i.start_event_key, i.start_event_id, i.start_event_source, i.start_offset,
           i.steps::text AS steps,
           i.start_attributes::text AS start_attributes, i.completed_by, i.route
    FROM quest_instance i
    WHERE i.tenant_id = f.tenant_id AND i.campaign_id = f.campaign_id AND i.user_id = f.user_id
      AND i.instance_key = f.instance_key AND i.occurrence = f.occurrence
    FOR UPDATE
) i

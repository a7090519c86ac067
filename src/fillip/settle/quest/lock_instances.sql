-- Instances that may matter: of each quest ($1..$4) those open, and those lapsed that an event of $4 or later may still
-- open again; of each key ($5..$8) the newest. Asked for in sorted order, so locked in it.
WITH live AS MATERIALIZED (
    SELECT q.*
    FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY
      AS asked (tenant_id, campaign_id, user_id, earliest, place)
    CROSS JOIN LATERAL (
        SELECT i.*
        FROM quest_instance i
        WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
          AND i.state IN ('open', 'lapsed')
          AND (i.state = 'open' OR (i.ends_at >= asked.earliest AND NOT EXISTS (
              SELECT FROM quest_instance n
              WHERE n.tenant_id = i.tenant_id AND n.campaign_id = i.campaign_id AND n.user_id = i.user_id
                AND n.instance_key = i.instance_key AND n.occurrence = i.occurrence + 1)))
        ORDER BY i.instance_key, i.occurrence
        FOR UPDATE
    ) q
    ORDER BY asked.place
), newest AS MATERIALIZED (
    SELECT q.*
    FROM unnest($5::text[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
      AS asked (tenant_id, campaign_id, user_id, instance_key, place)
    CROSS JOIN LATERAL (
        SELECT i.*
        FROM quest_instance i
        WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
          AND i.instance_key = asked.instance_key
        ORDER BY i.occurrence DESC LIMIT 1
        FOR UPDATE
    ) q
    ORDER BY asked.place
)
SELECT tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, ends_at,
       start_event_id, start_offset, steps::text AS steps, start_attributes::text AS start_attributes,
       completed_by
FROM (SELECT * FROM live UNION ALL SELECT * FROM newest) found

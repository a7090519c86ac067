-- How many instances of each quest are open, or marked as lapsed, that end at $4 or later, at most $5; locks nothing.
SELECT asked.tenant_id, asked.campaign_id, asked.user_id, (
    SELECT count(*) FROM (
        (SELECT FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.state = 'open' AND i.ends_at IS NULL LIMIT $5)
        UNION ALL
        (SELECT FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.state = 'open' AND i.ends_at >= asked.first LIMIT $5)
        UNION ALL
        (SELECT FROM quest_instance i
         WHERE i.tenant_id = asked.tenant_id AND i.campaign_id = asked.campaign_id AND i.user_id = asked.user_id
           AND i.state = 'lapsed' AND i.ends_at >= asked.first LIMIT $5)
    ) i
)
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS asked (tenant_id, campaign_id, user_id, first)

-- Past events behind a mark in the order of their receipt, each with the grants of other campaigns for it.
WITH page AS MATERIALIZED (
    SELECT source, id, user_id, action, occurred_at, received_at, partition, log_offset, data FROM events
    WHERE list_contains($actions, action)
      AND occurred_at >= make_timestamp($first_us) AT TIME ZONE 'UTC'
      AND occurred_at < make_timestamp($until_us) AT TIME ZONE 'UTC'
      AND received_at >= make_timestamp($received_us) AT TIME ZONE 'UTC'
      AND (received_at > make_timestamp($received_us) AT TIME ZONE 'UTC'
           OR (partition, log_offset) > ($partition, $log_offset))
    ORDER BY received_at, partition, log_offset
    LIMIT $limit
), others AS (
    SELECT p.received_at, p.partition, p.log_offset,
           list(struct_pack(campaign_id := d.campaign_id,
                            value := coalesce(list_sum(list_transform(d.rewards, lambda r: r.value)), 0)::bigint)
                ORDER BY d.campaign_id) AS granted
    FROM page p JOIN decisions d ON d.event_source = p.source AND d.event_id = p.id
    WHERE d.outcome = 'granted' AND d.campaign_id <> $campaign_id
    GROUP BY p.received_at, p.partition, p.log_offset
)
SELECT p.*, o.granted
FROM page p LEFT JOIN others o USING (received_at, partition, log_offset)
ORDER BY received_at, partition, log_offset

-- How long each part of the way of incentives took, by the UTC day of the grant and campaign, a page of them.
WITH lines AS (
    SELECT DISTINCT day, campaign_id FROM fact
    WHERE kind = 'grant' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_grant:Array(UInt64)}[partition + 1] AND day BETWEEN {first:Int32} AND {last:Int32}
      AND ({campaign_id:Nullable(String)} IS NULL OR campaign_id = {campaign_id:Nullable(String)})
      AND (day, campaign_id) > ({after_day:Int32}, {after_name:String})
    ORDER BY day, campaign_id LIMIT {count:UInt32}
), picked AS (
    SELECT day, campaign_id, incentive_id, occurred_us, received_us, made_us, committed_us, claimed_us FROM fact
    WHERE kind = 'grant' AND tenant_id = {tenant_id:String} AND load <= {newest:UInt64}
      AND load >= {since_grant:Array(UInt64)}[partition + 1] AND (day, campaign_id) IN (SELECT day, campaign_id FROM lines)
), later AS (
    SELECT incentive_id, maxIf(made_us, kind = 'ack') AS acked_us, maxIf(made_us, kind = 'claim') AS claimed_us,
           max(kind = 'ack') AS acked, max(kind = 'claim') AS claimed
    FROM fact
    WHERE kind IN ('ack', 'claim') AND tenant_id = {tenant_id:String} AND day >= (SELECT min(day) FROM lines) - 1  -- clocks may differ
      AND (kind = 'claim' OR load >= {since_ack:Array(UInt64)}[partition + 1])
      AND incentive_id IN (SELECT incentive_id FROM picked)
    GROUP BY incentive_id
), ways AS (
    SELECT p.day AS day, p.campaign_id AS campaign_id, p.occurred_us AS happened, p.received_us AS received, p.made_us AS granted,
           p.committed_us AS committed, if(l.acked, l.acked_us, NULL) AS delivered,
           coalesce(p.claimed_us, if(l.claimed, l.claimed_us, NULL)) AS claimed
    FROM picked AS p LEFT JOIN later AS l ON l.incentive_id = p.incentive_id
)
SELECT day, campaign_id, count() AS grants,
       count(received - happened), quantilesExactInclusive(0.5, 0.9, 0.99)((received - happened) / 1e6),
       count(granted - received), quantilesExactInclusive(0.5, 0.9, 0.99)((granted - received) / 1e6),
       count(committed), quantilesExactInclusive(0.5, 0.9, 0.99)((committed - granted) / 1e6),
       count(delivered), quantilesExactInclusive(0.5, 0.9, 0.99)((delivered - granted) / 1e6),
       count(claimed), quantilesExactInclusive(0.5, 0.9, 0.99)((claimed - granted) / 1e6),
       countIf(claimed >= delivered), quantilesExactInclusiveIf(0.5, 0.9, 0.99)((claimed - delivered) / 1e6, claimed >= delivered)
FROM ways GROUP BY day, campaign_id ORDER BY day, campaign_id

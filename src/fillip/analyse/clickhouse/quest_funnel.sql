-- How far the instances of a quest have come that began between two instants, by version, a page of them.
WITH picked AS (
    SELECT campaign_version, user_id, made_us, steps, if(state = 'open' AND ifNull(ends_us < {now:Int64}, false), 'lapsed', state) AS stands
    FROM fact FINAL
    WHERE kind = 'quest' AND tenant_id = {tenant_id:String} AND campaign_id = {campaign_id:String}
      AND load >= {since_quest:Array(UInt64)}[partition + 1] AND made_us >= {begin:Int64} AND made_us < {end:Int64}
      AND day BETWEEN intDiv({begin:Int64}, 86400000000) AND intDiv({end:Int64}, 86400000000) AND campaign_version > {after:Int32}
), versions AS (
    SELECT campaign_version, count() AS started, uniqExact(user_id) AS users, countIf(stands = 'open') AS open,
           countIf(stands = 'completed') AS completed, countIf(stands = 'denied') AS denied, countIf(stands = 'lapsed') AS lapsed,
           countIf(stands = 'closed') AS closed, countIf(stands = 'reversed') AS reversed
    FROM picked GROUP BY campaign_version ORDER BY campaign_version LIMIT {count:UInt32}
), timed AS (
    SELECT campaign_version, place, step.1 AS name, step.2 >= step.3 AS met, step.4 AS met_us,
           arrayFilter(other -> ifNull(other < met_us, false), steps.met_us) AS before,
           (met_us - if(empty(before), made_us, arrayMax(before))) / 1e6 AS took_s
    FROM picked ARRAY JOIN steps AS step, arrayEnumerate(steps) AS place
    WHERE campaign_version IN (SELECT campaign_version FROM versions)
), sums AS (
    SELECT campaign_version, place, name, countIf(met) AS reached, count(met_us) AS timed_ones,
           quantilesExactInclusive(0.5, 0.9)(took_s) AS quantiles
    FROM timed GROUP BY campaign_version, place, name
), told AS (
    SELECT campaign_version, arraySort(groupArray((place, name, reached, timed_ones, quantiles))) AS reached_steps
    FROM sums GROUP BY campaign_version
)
SELECT v.campaign_version, v.started, v.users, v.open, v.completed, v.denied, v.lapsed, v.closed, v.reversed, t.reached_steps
FROM versions AS v LEFT JOIN told AS t ON t.campaign_version = v.campaign_version ORDER BY v.campaign_version

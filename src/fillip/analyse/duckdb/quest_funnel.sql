-- How far the instances of a quest have come that began between two instants, by version, a page of them.
WITH picked AS (
    SELECT campaign_version, user_id, started_at, steps,
           CASE WHEN state = 'open' AND ends_at < $now THEN 'lapsed' ELSE state END AS state
    FROM quest_fact
    WHERE tenant_id = $tenant_id AND campaign_id = $campaign_id AND started_at >= $begin AND started_at < $end
      AND campaign_version > $after
), versions AS (
    SELECT campaign_version, count(*) AS started, count(DISTINCT user_id) AS users,
           count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE state = 'denied') AS denied, count(*) FILTER (WHERE state = 'lapsed') AS lapsed,
           count(*) FILTER (WHERE state = 'closed') AS closed, count(*) FILTER (WHERE state = 'reversed') AS reversed
    FROM picked GROUP BY campaign_version ORDER BY campaign_version LIMIT $count
), placed AS (
    SELECT campaign_version, started_at, steps, unnest(range(1, len(steps) + 1)) AS place
    FROM picked SEMI JOIN versions USING (campaign_version)
), timed AS (
    SELECT campaign_version, place, steps[place] AS step,
           coalesce(list_max([s.met_at FOR s IN steps IF s.met_at < steps[place].met_at]), started_at) AS since
    FROM placed
), sums AS (
    SELECT campaign_version, place, step.name AS name, count(*) FILTER (WHERE step.done >= step.needed) AS reached,
           count(step.met_at) AS timed,
           quantile_cont((epoch_us(step.met_at) - epoch_us(since)) / 1e6, [0.5, 0.9]) AS quantiles
    FROM timed GROUP BY ALL
), told AS (
    SELECT campaign_version,
           list(struct_pack(name := name, reached := reached, timed := timed, median_s := quantiles[1], p90_s := quantiles[2])
                ORDER BY place) AS steps
    FROM sums GROUP BY campaign_version
)
SELECT versions.*, told.steps FROM versions LEFT JOIN told USING (campaign_version) ORDER BY campaign_version

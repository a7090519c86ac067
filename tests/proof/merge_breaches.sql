-- What is wrong with tenant $1, whose users spent $2 points, under a cap of $3 gifts each, sent $4 events and merged $5 users: every column has to be 0.
WITH person AS (  -- each decision with who its user is by now, and since when
    SELECT d.*, coalesce(m.merged_into, d.user_id) AS now, o.merged_at
    FROM decision d
    LEFT JOIN user_merge m ON m.tenant_id = d.tenant_id AND m.user_id = d.user_id
    LEFT JOIN user_merge o ON o.tenant_id = d.tenant_id AND o.merged_into = coalesce(m.merged_into, d.user_id)
    WHERE d.tenant_id = $1
), granted AS (
    SELECT *, row_number() OVER (PARTITION BY now, campaign_id ORDER BY decided_at, decision_id) AS place FROM person WHERE outcome = 'granted'
), earned AS (
    SELECT coalesce(m.merged_into, i.user_id) AS now, sum(i.value) AS points
    FROM incentive i LEFT JOIN user_merge m ON m.tenant_id = i.tenant_id AND m.user_id = i.user_id
    WHERE i.tenant_id = $1 AND i.kind = 'points' GROUP BY 1
), purse AS (
    SELECT coalesce(m.merged_into, w.user_id) AS now, sum(w.active + w.pending + w.held + w.spent) AS points
    FROM wallet w LEFT JOIN user_merge m ON m.tenant_id = w.tenant_id AND m.user_id = w.user_id
    WHERE w.tenant_id = $1 GROUP BY 1
)
SELECT
    (SELECT count(*) FROM earned FULL JOIN purse USING (now) WHERE coalesce(earned.points, 0) <> coalesce(purse.points, 0))
        AS "persons who have not what they earned",
    abs((SELECT coalesce(sum(spent), 0) FROM wallet WHERE tenant_id = $1) - $2::bigint) AS "points spent and not told, or told and not spent",
    (SELECT count(*) FROM wallet w JOIN user_merge m USING (tenant_id, user_id) WHERE w.tenant_id = $1 AND w.active <> 0)
        AS "merged users with points of their own",
    (SELECT count(*) FROM wallet_lot l JOIN user_merge m USING (tenant_id, user_id) WHERE l.tenant_id = $1 AND l.remaining > 0)
        AS "lots that have not come over",
    (SELECT count(*) FROM granted WHERE campaign_id = 'gift' AND place > $3::bigint AND decided_at > coalesce(merged_at, '-infinity'))
        AS "gifts beyond the cap",
    (SELECT count(*) FROM (
        SELECT now FROM granted WHERE campaign_id = 'gift' GROUP BY now
        HAVING count(*) <> (SELECT coalesce(sum(c.used), 0) FROM limit_counter c WHERE c.tenant_id = $1 AND c.user_id = now)) AS unlike)
        AS "persons whose limits count otherwise",
    (SELECT count(*) FROM granted WHERE campaign_id = 'visits' AND place > 1 AND (merged_at IS NULL OR decided_at > merged_at))
        AS "quests completed again",
    (SELECT count(*) FROM user_merge m WHERE m.tenant_id = $1 AND NOT EXISTS (
        SELECT FROM granted g WHERE g.now = m.merged_into AND g.campaign_id = 'visits')) AS "quests that can't be completed",
    (SELECT count(*) - count(DISTINCT (event_id, campaign_id, instance)) FROM decision WHERE tenant_id = $1) AS "decisions that are double",
    (SELECT count(*) FROM person WHERE decided_at > merged_at AND user_id <> now) AS "decisions under an id that was merged",
    abs((SELECT count(DISTINCT event_key) FROM event_met WHERE tenant_id = $1) - $4::bigint) AS "events lost, or met twice",
    abs((SELECT count(*) FROM user_merge WHERE tenant_id = $1) - $5::bigint) AS "merges lost, or made unasked"

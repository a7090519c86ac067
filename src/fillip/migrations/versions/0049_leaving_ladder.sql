-- As 0043_level_moved.sql has it, but for ladders that are being deleted: nobody moves on them, and nothing is told. Gives users the levels that they
-- have at `at`, and writes what changed. Locks their rows, in order.
CREATE OR REPLACE FUNCTION move_levels(of_tenant text, of_currency text, users text[], at timestamptz) RETURNS void LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$ -- as the worker has them: to plan it takes ten times as long as to run it
BEGIN
    PERFORM FROM user_level u WHERE u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id = ANY (users)
    ORDER BY u.user_id FOR UPDATE;
    WITH weighed AS MATERIALIZED (
        SELECT w.user_id, w.earned, w.falls_at, l.names[w.place] AS level, l.thresholds[w.place] AS threshold, l.names[w.place + 1] AS next_level,
               l.thresholds[w.place + 1] AS next_threshold, coalesce(u.level, l.names[1]) AS level_before, coalesce(u.threshold, 0) AS threshold_before,
               u.falls_at AS falls_before
        FROM weigh_levels(of_tenant, of_currency, users, at) w
        JOIN ladder l ON l.tenant_id = of_tenant AND l.currency = of_currency AND NOT l.leaving
        LEFT JOIN user_level u ON u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id = w.user_id
    ), told AS (
        INSERT INTO level_change (tenant_id, user_id, currency, number, direction, from_level, to_level, earned, next_level, next_threshold, falls_at,
                                  changed_at)
        SELECT of_tenant, w.user_id, of_currency,
               1 + coalesce((SELECT c.number FROM level_change c WHERE c.tenant_id = of_tenant AND c.user_id = w.user_id AND c.currency = of_currency
                             ORDER BY c.number DESC LIMIT 1), 0),
               CASE WHEN w.threshold > w.threshold_before THEN 'up' WHEN w.threshold < w.threshold_before THEN 'down' ELSE 'renamed' END,
               w.level_before, w.level, w.earned, w.next_level, w.next_threshold, w.falls_at, at
        FROM weighed w WHERE w.level <> w.level_before ORDER BY w.user_id
    )
    INSERT INTO user_level AS u (tenant_id, currency, user_id, level, threshold, since, falls_at)
    SELECT of_tenant, of_currency, w.user_id, w.level, w.threshold, at, w.falls_at
    FROM weighed w
    WHERE w.level <> w.level_before OR w.threshold <> w.threshold_before OR w.falls_at IS DISTINCT FROM w.falls_before ORDER BY w.user_id
    ON CONFLICT (tenant_id, currency, user_id) DO UPDATE
    SET level = excluded.level, threshold = excluded.threshold, falls_at = excluded.falls_at,
        since = CASE WHEN u.level = excluded.level THEN u.since ELSE excluded.since END;
END $$;

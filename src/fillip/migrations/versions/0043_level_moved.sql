-- What moves levels: triggers in the transaction of whoever grants points, takes them back or imports them, and what the sweep and merges call.
-- Locks incentive, reversal and wallet_transfer for a moment, for their triggers.

-- Where users stand on a ladder at `at` by what they earned in its window: the place of the level, from 1, and until when it holds if nothing more
-- is earned. In a tenant whose clock is history the window is that of the user's newest day, and nothing falls. Locks nothing.
CREATE FUNCTION weigh_levels(of_tenant text, of_currency text, users text[], at timestamptz)
RETURNS TABLE (user_id text, earned bigint, place integer, falls_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT asked.user_id, s.earned, p.place, CASE
        WHEN t.clock <> 'live' OR p.place = 1 OR l.span = 'lifetime' THEN NULL
        WHEN l.span <> 'rolling' THEN (w.first_day + ('1 ' || l.span)::interval) AT TIME ZONE t.time_zone
        ELSE (
            SELECT (d.day + w.days + 1)::timestamp AT TIME ZONE t.time_zone
            FROM (SELECT e.day, sum(e.earned) OVER (ORDER BY e.day) AS gone FROM earned_day e
                  WHERE e.tenant_id = of_tenant AND e.currency = of_currency AND e.user_id = asked.user_id
                    AND e.day BETWEEN w.first_day AND w.last_day) d
            WHERE s.earned - d.gone < l.thresholds[p.place] ORDER BY d.day LIMIT 1)
        END
    FROM ladder l
    JOIN tenant t ON t.tenant_id = l.tenant_id
    CROSS JOIN unnest(users) AS asked (user_id)
    CROSS JOIN LATERAL (
        SELECT CASE t.clock WHEN 'live' THEN (at AT TIME ZONE t.time_zone)::date ELSE coalesce((
            SELECT max(e.day) FROM earned_day e
            WHERE e.tenant_id = of_tenant AND e.currency = of_currency AND e.user_id = asked.user_id AND e.day > '-infinity'
        ), '1970-01-01') END AS day
    ) today
    CROSS JOIN LATERAL (
        SELECT (l.rolling_s / 86400)::integer AS days,
               CASE l.span WHEN 'lifetime' THEN '-infinity' WHEN 'rolling' THEN today.day - (l.rolling_s / 86400)::integer
                   ELSE date_trunc(l.span, today.day::timestamp)::date END AS first_day,
               CASE l.span WHEN 'lifetime' THEN '-infinity'::date ELSE 'infinity' END AS last_day
    ) w
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.earned), 0)::bigint AS earned FROM earned_day e
        WHERE e.tenant_id = of_tenant AND e.currency = of_currency AND e.user_id = asked.user_id AND e.day BETWEEN w.first_day AND w.last_day
    ) s
    CROSS JOIN LATERAL (SELECT count(*)::integer AS place FROM unnest(l.thresholds) AS h WHERE h <= s.earned) p
    WHERE l.tenant_id = of_tenant AND l.currency = of_currency
$$;

-- Gives users the levels that they have at `at`, and writes what changed. Locks their rows, in order.
CREATE FUNCTION move_levels(of_tenant text, of_currency text, users text[], at timestamptz) RETURNS void LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$ -- as the worker has them: to plan it takes ten times as long as to run it
BEGIN
    PERFORM FROM user_level u WHERE u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id = ANY (users)
    ORDER BY u.user_id FOR UPDATE;
    WITH weighed AS MATERIALIZED (
        SELECT w.user_id, w.earned, w.falls_at, l.names[w.place] AS level, l.thresholds[w.place] AS threshold, l.names[w.place + 1] AS next_level,
               l.thresholds[w.place + 1] AS next_threshold, coalesce(u.level, l.names[1]) AS level_before, coalesce(u.threshold, 0) AS threshold_before,
               u.falls_at AS falls_before
        FROM weigh_levels(of_tenant, of_currency, users, at) w
        JOIN ladder l ON l.tenant_id = of_tenant AND l.currency = of_currency
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

-- Whoever changes what a user earned moves the level, at the end of the transaction: what it gives and takes back is weighed as one.
CREATE FUNCTION move_level_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM move_levels(NEW.tenant_id, NEW.currency, ARRAY[NEW.user_id], clock_timestamp());
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER earned AFTER INSERT OR UPDATE OF earned ON earned_day DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.day = '-infinity') EXECUTE FUNCTION move_level_of_row();

-- Adds what users earned on days of their tenants. Locks the rows, in order.
CREATE FUNCTION add_earned(tenants text[], currencies text[], users text[], days date[], amounts bigint[]) RETURNS void LANGUAGE sql VOLATILE AS $$
    INSERT INTO earned_day AS d (tenant_id, currency, user_id, day, earned)
    SELECT e.tenant_id, e.currency, e.user_id, counted.day, sum(e.amount)
    FROM unnest(tenants, currencies, users, days, amounts) AS e (tenant_id, currency, user_id, day, amount)
    CROSS JOIN LATERAL (VALUES (e.day), ('-infinity')) AS counted (day)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, currency, user_id, day) DO UPDATE SET earned = d.earned + excluded.earned
$$;

-- Points of grants, by rules and by hand: earned on the day of the event.
CREATE FUNCTION earn_granted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    IF NOT EXISTS (SELECT FROM ladder) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(i.tenant_id) AS tenants, array_agg(l.currency) AS currencies, array_agg(coalesce(m.merged_into, i.user_id)) AS users,
           array_agg(d.local_day) AS days, array_agg(i.value) AS amounts INTO e
    FROM made i
    JOIN ladder l ON l.tenant_id = i.tenant_id AND l.currency = coalesce(i.currency, 'POINTS')
    JOIN decision d ON d.tenant_id = i.tenant_id AND d.decision_id = i.decision_id
    LEFT JOIN user_merge m ON m.tenant_id = i.tenant_id AND m.user_id = i.user_id
    WHERE i.kind = 'points' AND i.value > 0 AND NOT l.leaving AND (l.filled_to IS NULL OR i.user_id <= l.filled_to);
    IF e.tenants IS NOT NULL THEN
        PERFORM add_earned(e.tenants, e.currencies, e.users, e.days, e.amounts);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER points_granted AFTER INSERT ON incentive REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION earn_granted();

-- What a reversal asks back of an incentive was not earned on its day, whether or not the points were still there (`short`).
CREATE FUNCTION unearn_reversed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ladder l WHERE l.tenant_id = NEW.tenant_id) THEN
        UPDATE earned_day d SET earned = greatest(0, d.earned - g.amount)
        FROM (
            SELECT l.currency, coalesce(m.merged_into, i.user_id) AS user_id, counted.day, sum(x.value + coalesce(x.short, 0)) AS amount
            FROM jsonb_to_recordset(NEW.incentives) AS x (incentive_id uuid, value bigint, short bigint)
            JOIN incentive i ON i.tenant_id = NEW.tenant_id AND i.incentive_id = x.incentive_id AND i.kind = 'points'
            JOIN decision d ON d.tenant_id = i.tenant_id AND d.decision_id = i.decision_id
            JOIN ladder l ON l.tenant_id = i.tenant_id AND l.currency = coalesce(i.currency, 'POINTS') AND NOT l.leaving
                AND (l.filled_to IS NULL OR i.user_id <= l.filled_to)
            LEFT JOIN user_merge m ON m.tenant_id = i.tenant_id AND m.user_id = i.user_id
            CROSS JOIN LATERAL (VALUES (d.local_day), ('-infinity')) AS counted (day)
            GROUP BY 1, 2, 3
        ) g
        WHERE d.tenant_id = NEW.tenant_id AND d.currency = g.currency AND d.user_id = g.user_id AND d.day = g.day;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER points_reversed AFTER INSERT ON reversal FOR EACH ROW WHEN (NEW.incentives <> '[]') EXECUTE FUNCTION unearn_reversed();
CREATE TRIGGER points_reversed_later AFTER UPDATE ON reversal FOR EACH ROW
    WHEN (OLD.state = 'waiting' AND NEW.incentives <> '[]') EXECUTE FUNCTION unearn_reversed();

-- Points that were imported: earned on the day of the import, nobody knows when before.
CREATE FUNCTION earn_imported() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    day date;
BEGIN
    SELECT (NEW.made_at AT TIME ZONE t.time_zone)::date INTO day
    FROM ladder l JOIN tenant t ON t.tenant_id = l.tenant_id
    WHERE l.tenant_id = NEW.tenant_id AND l.currency = NEW.currency AND NOT l.leaving AND (l.filled_to IS NULL OR NEW.user_id <= l.filled_to);
    IF FOUND THEN
        PERFORM add_earned(ARRAY[NEW.tenant_id], ARRAY[NEW.currency], ARRAY[NEW.user_id], ARRAY[day], ARRAY[NEW.amount]);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER points_imported AFTER INSERT ON wallet_transfer FOR EACH ROW WHEN (NEW.kind = 'import') EXECUTE FUNCTION earn_imported();

-- Goes on with a ladder, by about so many users, of whom a new one has at most so many transfers together, or one user: adds up what they earned
-- before it was made, gives users the levels of a new definition, or removes one that is leaving. Holds the tenant's batches and whoever writes
-- its wallets until the commit: each of them is all before or all behind. How many users it has seen to, 1 for the end of a walk.
CREATE FUNCTION move_ladder(of_tenant text, of_currency text, most integer) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    l ladder;
    seen text[];
    e record;
    many bigint;
BEGIN
    PERFORM hold_merges(of_tenant);
    SELECT * INTO l FROM ladder k WHERE k.tenant_id = of_tenant AND k.currency = of_currency FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    ELSIF l.leaving THEN
        DELETE FROM user_level u WHERE u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id IN (
            SELECT v.user_id FROM user_level v WHERE v.tenant_id = of_tenant AND v.currency = of_currency ORDER BY v.user_id LIMIT most);
        DELETE FROM earned_day d WHERE d.tenant_id = of_tenant AND d.currency = of_currency AND (d.user_id, d.day) IN (
            SELECT f.user_id, f.day FROM earned_day f WHERE f.tenant_id = of_tenant AND f.currency = of_currency ORDER BY f.user_id, f.day LIMIT most);
        GET DIAGNOSTICS many = ROW_COUNT;
        IF many = 0 THEN
            DELETE FROM ladder k WHERE k.tenant_id = of_tenant AND k.currency = of_currency;
        END IF;
        RETURN greatest(many, 1);
    ELSIF l.filled_to IS NOT NULL THEN
        SELECT array_agg(n.user_id ORDER BY n.user_id) INTO seen
        FROM (
            SELECT w.user_id, sum(w.last_seq) OVER (ORDER BY w.user_id) - w.last_seq AS before
            FROM (SELECT v.user_id, v.last_seq FROM wallet v
                  WHERE v.tenant_id = of_tenant AND v.currency = of_currency AND v.user_id > l.filled_to ORDER BY v.user_id LIMIT most) w
        ) n WHERE n.before < most;
        UPDATE ladder k SET filled_to = seen[cardinality(seen)] WHERE k.tenant_id = of_tenant AND k.currency = of_currency;
        WITH taken AS MATERIALIZED ( -- a reversal is of who its user was by then
            SELECT x.incentive_id, sum(x.value + coalesce(x.short, 0))::bigint AS amount
            FROM reversal r CROSS JOIN LATERAL jsonb_to_recordset(r.incentives) AS x (incentive_id uuid, value bigint, short bigint)
            WHERE r.tenant_id = of_tenant AND r.user_id IN (
                SELECT unnest(seen)
                UNION SELECT m.merged_into FROM user_merge m WHERE m.tenant_id = of_tenant AND m.user_id = ANY (seen)
                UNION SELECT o.user_id FROM user_merge m JOIN user_merge o ON o.tenant_id = m.tenant_id AND o.merged_into = m.merged_into
                    WHERE m.tenant_id = of_tenant AND m.user_id = ANY (seen)
                UNION SELECT o.user_id FROM user_merge o WHERE o.tenant_id = of_tenant AND o.merged_into = ANY (seen))
            GROUP BY 1
        )
        SELECT array_agg(of_tenant) AS tenants, array_agg(of_currency) AS currencies, array_agg(coalesce(m.merged_into, p.user_id)) AS users,
               array_agg(p.day) AS days, array_agg(p.amount) AS amounts INTO e
        FROM (
            SELECT i.user_id, d.local_day AS day, greatest(0, i.value - coalesce(r.amount, 0)) AS amount
            FROM incentive i
            JOIN decision d ON d.tenant_id = i.tenant_id AND d.decision_id = i.decision_id
            LEFT JOIN taken r ON r.incentive_id = i.incentive_id
            WHERE i.tenant_id = of_tenant AND i.user_id = ANY (seen) AND i.kind = 'points' AND coalesce(i.currency, 'POINTS') = of_currency
              AND i.value > 0
            UNION ALL
            SELECT w.user_id, (w.made_at AT TIME ZONE t.time_zone)::date, w.amount
            FROM wallet_transfer w JOIN tenant t ON t.tenant_id = w.tenant_id
            WHERE w.tenant_id = of_tenant AND w.user_id = ANY (seen) AND w.currency = of_currency AND w.kind = 'import'
        ) p
        LEFT JOIN user_merge m ON m.tenant_id = of_tenant AND m.user_id = p.user_id;
        IF e.tenants IS NOT NULL THEN
            PERFORM add_earned(e.tenants, e.currencies, e.users, e.days, e.amounts);
        END IF;
    ELSE
        SELECT array_agg(n.user_id ORDER BY n.user_id) INTO seen
        FROM (SELECT d.user_id FROM earned_day d
              WHERE d.tenant_id = of_tenant AND d.currency = of_currency AND d.user_id > l.followed_to AND d.day = '-infinity'
              ORDER BY d.user_id LIMIT most) n;
        UPDATE ladder k SET followed_to = seen[cardinality(seen)] WHERE k.tenant_id = of_tenant AND k.currency = of_currency;
        PERFORM move_levels(of_tenant, of_currency, seen, clock_timestamp());
    END IF;
    RETURN coalesce(cardinality(seen), 1);
END $$;

-- Lets users fall whose time has come. Holds the tenant's batches and whoever writes its wallets until the commit, as move_ladder does: each of them
-- sees the level of before or of behind. How many it has seen to.
CREATE FUNCTION move_fallen(of_tenant text, of_currency text, users text[], at timestamptz) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    fallen text[];
BEGIN
    PERFORM hold_merges(of_tenant);
    SELECT array_agg(u.user_id ORDER BY u.user_id) INTO fallen FROM user_level u
    WHERE u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id = ANY (users) AND u.falls_at <= at;
    PERFORM move_levels(of_tenant, of_currency, fallen, at);
    RETURN coalesce(cardinality(fallen), 0);
END $$;

-- What a user earned is another's from here on, who has the level of both together. Call it with hold_merges held. Locks the rows of both.
CREATE FUNCTION merge_levels(of_tenant text, from_user text, into_user text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    of_currency text;
BEGIN
    FOR of_currency IN SELECT l.currency FROM ladder l WHERE l.tenant_id = of_tenant ORDER BY l.currency LOOP
        DELETE FROM user_level u WHERE u.tenant_id = of_tenant AND u.currency = of_currency AND u.user_id = from_user;
        WITH gone AS (
            DELETE FROM earned_day d WHERE d.tenant_id = of_tenant AND d.currency = of_currency AND d.user_id = from_user RETURNING d.*
        )
        INSERT INTO earned_day AS d (tenant_id, currency, user_id, day, earned)
        SELECT of_tenant, of_currency, into_user, g.day, g.earned FROM gone g ORDER BY g.day
        ON CONFLICT (tenant_id, currency, user_id, day) DO UPDATE SET earned = d.earned + excluded.earned;
    END LOOP;
END $$;

-- Moves what a user earned, their levels and how these changed to the pseudonym, as erase_user does with the rest, in the same transaction.
CREATE FUNCTION erase_levels(of_tenant text, of_user text, pseudonym text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE earned_day d SET user_id = pseudonym WHERE d.tenant_id = of_tenant AND d.user_id = of_user
        AND d.currency IN (SELECT l.currency FROM ladder l WHERE l.tenant_id = of_tenant);
    UPDATE user_level u SET user_id = pseudonym WHERE u.tenant_id = of_tenant AND u.user_id = of_user
        AND u.currency IN (SELECT l.currency FROM ladder l WHERE l.tenant_id = of_tenant);
    UPDATE level_change c SET user_id = pseudonym WHERE c.tenant_id = of_tenant AND c.user_id = of_user;
END $$;

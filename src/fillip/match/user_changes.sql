-- Who has changed since these numbers (NULL: more than the ring holds), and how far the changes have come. Locks nothing.
-- Each slot is looked up by itself: a join would read the whole ring for a few of them.
SELECT known.tenant_id, coalesce(h.last_number, 0) AS last_number,
    CASE WHEN h.last_number - known.number BETWEEN 0 AND 4096 THEN ARRAY(
        SELECT (SELECT c.user_id FROM user_change c WHERE c.tenant_id = known.tenant_id AND c.slot = mod(n.number, 4096)::int)
        FROM generate_series(known.number + 1, h.last_number) AS n (number))
    END AS user_ids
FROM unnest($1::text[], $2::bigint[]) AS known (tenant_id, number)
LEFT JOIN user_change_head h USING (tenant_id)

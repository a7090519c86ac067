-- What counters of a rolling limit have used in the window that ends with part $5, or where that is NULL with the newest that has
-- any of it; and the first part that has. Locks nothing.
SELECT asked.user_id, asked.key, coalesce(sum(p.used), 0)::bigint AS used, min(p.part) FILTER (WHERE p.used > 0) AS oldest
FROM unnest($3::text[], $4::text[]) AS asked (user_id, key)
CROSS JOIN LATERAL (
    SELECT coalesce($5::bigint, (SELECT max(n.part) FROM limit_part n
        WHERE n.tenant_id = $1 AND n.limit_id = $2 AND n.user_id = asked.user_id AND n.key = asked.key)) AS part
) newest
JOIN limit_part p ON p.tenant_id = $1 AND p.limit_id = $2 AND p.user_id = asked.user_id AND p.key = asked.key
    AND p.part BETWEEN newest.part - $6::bigint AND newest.part
GROUP BY asked.user_id, asked.key

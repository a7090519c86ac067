-- Small files of a tenant's day, smallest first, as many as have the given number of rows together.
SELECT path, void FROM (
    SELECT path, void, sum(row_count) OVER (ORDER BY row_count, path) AS total FROM day_file
    WHERE kind = $1 AND tenant_id = $2 AND day = $3 AND replaced_at IS NULL AND row_count < $4 / 4
) WHERE total <= $4

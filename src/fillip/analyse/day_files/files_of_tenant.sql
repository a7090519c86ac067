-- A tenant's day files that count, by kind and by what is void in them.
SELECT kind, list(path ORDER BY day, path), void FROM day_file WHERE tenant_id = $1 AND replaced_at IS NULL GROUP BY kind, void

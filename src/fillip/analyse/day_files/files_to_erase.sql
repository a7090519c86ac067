-- All day files of a tenant that are on the disk, and whether they count.
SELECT path, kind, day, replaced_at IS NULL FROM day_file WHERE tenant_id = $1 ORDER BY path

-- The temporary slot, at the snapshot just announced, becomes the lasting one. Locks no rows.
SELECT pg_copy_logical_replication_slot(%(temporary)s, %(slot)s, false)

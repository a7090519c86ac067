-- Drops the slot, which must not be in use. Locks no rows.
SELECT pg_drop_replication_slot(%(slot)s)

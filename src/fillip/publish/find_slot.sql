-- The slot's confirmed position, and whether its WAL is gone; no row when there is no slot. Locks nothing.
SELECT confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed_lsn,
       wal_status = 'lost' OR invalidation_reason IS NOT NULL AS lost
FROM pg_replication_slots WHERE slot_name = %(slot)s AND database = current_database()

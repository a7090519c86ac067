-- The slot of this database: its confirmed position, whether its WAL is gone, whether somebody reads it, how many bytes of WAL
-- are behind it, and how many may still come before the server throws its WAL away (null: any number). No row: there is no
-- slot. Locks nothing.
SELECT slot_name, confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed_lsn,
       wal_status = 'lost' OR invalidation_reason IS NOT NULL AS lost, active AS taken,
       coalesce(pg_current_wal_flush_lsn() - confirmed_flush_lsn, 0) AS lag_bytes, safe_wal_size
FROM pg_replication_slots WHERE slot_name = 'fillip_' || current_database() AND database = current_database()

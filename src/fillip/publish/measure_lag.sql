-- Bytes of WAL behind the slot's confirmed position. Locks nothing.
SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %(slot)s

-- Events settled, WAL not yet announced by publish, and WAL written so far, both in bytes.
SELECT (SELECT coalesce(sum(next_offset), 0) FROM consumer_position WHERE topic = $1)::bigint AS settled,
       (SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn
        FROM pg_replication_slots WHERE database = current_database() LIMIT 1)::bigint AS unannounced_bytes,
       (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS wal_bytes

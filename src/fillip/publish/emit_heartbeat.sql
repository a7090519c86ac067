-- Writes a heartbeat into the write-ahead log, as a transaction of its own. Locks nothing.
SELECT pg_logical_emit_message(true, 'fillip.heartbeat', '')

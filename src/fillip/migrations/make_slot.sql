-- Slots belong to the whole server, so each database's carries its name.
SELECT pg_create_logical_replication_slot('fillip_' || current_database(), 'pgoutput')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'fillip_' || current_database())
  AND NOT EXISTS (SELECT FROM book_change) AND NOT EXISTS (SELECT FROM decision)

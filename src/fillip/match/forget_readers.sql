-- Readers that ended without taking their leave go. Locks their rows.
DELETE FROM book_reader WHERE beat_at < clock_timestamp() - interval '60 s'

-- Readers that ended without taking their leave.
DELETE FROM book_reader WHERE beat_at < clock_timestamp() - interval '60 s'

-- Renews a reader's row, the only one it locks: whether it was alive until now. One that was not, nobody waited for.
INSERT INTO book_reader AS r (reader_id) VALUES ($1)
ON CONFLICT (reader_id) DO UPDATE SET beat_at = clock_timestamp()
RETURNING coalesce(lives(old.beat_at), false)

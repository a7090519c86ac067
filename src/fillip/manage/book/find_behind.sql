-- The lowest version of the tenant's book that a living reader decides under; NULL: none has it.
SELECT min(h.book_version) FROM book_held h JOIN book_reader r USING (reader_id)
WHERE h.tenant_id = :tenant_id AND lives(r.beat_at)

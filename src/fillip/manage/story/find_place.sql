-- Of each log in which an event may stand at this place: whether it is settled there, and the version of the book that it was decided under.
-- Locks nothing.
SELECT p.next_offset > :log_offset AS settled, (
    SELECT b.book_version FROM book_pin b
    WHERE b.tenant_id = :tenant_id AND b.topic = p.topic AND b.generation = p.generation AND b.partition = p.partition
      AND b.from_offset <= :log_offset
    ORDER BY b.from_offset DESC LIMIT 1
) AS book_version
FROM consumer_position p WHERE p.partition = :partition AND p.shard = 0

-- Under which version of its book a tenant's events were decided, by partition, the earliest first. Locks nothing.
SELECT topic, generation, partition, from_offset, book_version FROM book_pin
WHERE tenant_id = $1 ORDER BY topic, generation, partition, from_offset

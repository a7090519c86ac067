-- Up to where each partition of the topic $3 is settled, once all readers that live decide under version $2 of the tenant's book or a
-- later one: what comes behind, they decide under it. No row before that. Locks nothing.
SELECT (
    SELECT coalesce(jsonb_object_agg(p.partition, p.next_offset), '{}')::text
    FROM (SELECT DISTINCT ON (partition) partition, next_offset FROM consumer_position
          WHERE topic = $3 AND shard = 0 ORDER BY partition, generation DESC) p
) AS ends
WHERE NOT EXISTS (
    SELECT FROM book_held h JOIN book_reader r USING (reader_id)
    WHERE h.tenant_id = $1 AND h.book_version < $2 AND lives(r.beat_at)
)

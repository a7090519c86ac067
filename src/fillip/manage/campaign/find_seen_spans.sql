-- Which parts of the log were decided under which change of a campaign, as far as they are settled. Locks nothing.
-- By the pins of the tenant's book. A change counts where none that followed it was made an hour before :since or earlier: nothing
-- that was received since then was decided under any other.
WITH changes AS (
    SELECT book_version, changed_at FROM book_change
    WHERE tenant_id = :tenant_id AND kind = 'campaign' AND object_id = :campaign_id
), kept AS (
    SELECT array_agg(book_version ORDER BY book_version) AS versions FROM changes
    WHERE book_version >= (SELECT coalesce(max(book_version) FILTER (WHERE changed_at < CAST(:since AS timestamptz) - interval '1 hour'),
                                           min(book_version)) FROM changes)
), pinned AS (
    SELECT topic, generation, partition, from_offset, width_bucket(book_version, versions) AS place,
           lag(width_bucket(book_version, versions))
               OVER (PARTITION BY topic, generation, partition ORDER BY from_offset) AS former
    FROM book_pin, kept WHERE tenant_id = :tenant_id
), spans AS (
    SELECT topic, generation, partition, from_offset, place,
           lead(from_offset) OVER (PARTITION BY topic, generation, partition ORDER BY from_offset) AS until
    FROM pinned WHERE place IS DISTINCT FROM former
)
SELECT topic, generation, partition, from_offset AS first_offset, least(until, next_offset) AS end_offset,
       versions[place] AS book_version
FROM spans JOIN consumer_position USING (topic, generation, partition), kept
WHERE shard = 0 AND place > 0 AND from_offset < least(until, next_offset)
LIMIT :most

-- Campaigns that look at an action, as they stood at a version of the book, by id behind `after`; `looking` is how many there are in all.
-- What was archived by then is left out. Locks nothing.
WITH newest AS MATERIALIZED (
    SELECT object_id, max(book_version) AS book_version FROM book_change
    WHERE tenant_id = :tenant_id AND kind = 'campaign' AND book_version <= :book_version
    GROUP BY object_id
), looking AS MATERIALIZED (
    SELECT n.object_id, n.book_version FROM newest n
    JOIN book_change c ON c.tenant_id = :tenant_id AND c.book_version = n.book_version
    CROSS JOIN LATERAL (SELECT c.document -> 'definition' AS definition OFFSET 0) d
    WHERE c.document ->> 'state' <> 'archived'
      AND (d.definition ->> 'action' = :action OR d.definition #>> '{quest,start,action}' = :action
           OR jsonb_path_exists(d.definition, '$.quest.steps[*] ? (@.action == $action)', jsonb_build_object('action', CAST(:action AS text))))
)
SELECT c.object_id AS campaign_id, CAST(c.document ->> 'version' AS integer) AS version, c.document ->> 'state' AS state,
       c.document -> 'kept' AS kept, CAST(c.document -> 'definition' AS text) AS definition, CAST(c.document -> 'checked' AS text) AS checked,
       (SELECT count(*) FROM looking) AS looking
FROM (SELECT * FROM looking WHERE object_id > :after ORDER BY object_id LIMIT :most) l
JOIN book_change c ON c.tenant_id = :tenant_id AND c.book_version = l.book_version
ORDER BY c.object_id

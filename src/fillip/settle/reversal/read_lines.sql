-- Which of these lines were taken back before. Locks nothing: the originals are locked.
SELECT l.tenant_id, l.event_id, l.line
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, event_id, line)
CROSS JOIN LATERAL (
    SELECT * FROM reversed_line t
    WHERE t.tenant_id = asked.tenant_id AND t.event_id = asked.event_id AND t.line = asked.line
    OFFSET 0
) l

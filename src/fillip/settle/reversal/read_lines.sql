-- How far these lines were taken back before. Locks nothing: the originals are locked.
SELECT l.tenant_id, l.event_key, l.line, l.share, l.whole
FROM unnest($1::text[], $2::uuid[], $3::text[]) AS asked (tenant_id, event_key, line)
CROSS JOIN LATERAL (
    SELECT * FROM reversed_line t
    WHERE t.tenant_id = asked.tenant_id AND t.event_key = asked.event_key AND t.line = asked.line
    OFFSET 0
) l

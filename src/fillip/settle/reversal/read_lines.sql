-- Which of these lines were taken back before. Locks nothing: the originals are locked.
SELECT l.tenant_id, l.event_id, l.line
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, event_id, line)
JOIN reversed_line l USING (tenant_id, event_id, line)

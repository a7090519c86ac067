-- The newest change of a user's level on each ladder that there is. Locks nothing.
-- Instants come as text: one that Python has no words for must not hide the others.
SELECT c.currency, c.number, c.direction, c.from_level, c.to_level, c.earned, c.next_level, c.next_threshold,
       to_jsonb(c.falls_at) #>> '{}' AS falls_at, to_jsonb(c.changed_at) #>> '{}' AS changed_at
FROM (
    SELECT DISTINCT ON (n.currency) n.* FROM level_change n
    WHERE n.tenant_id = $1 AND n.user_id = $2 ORDER BY n.currency DESC, n.number DESC
) c
JOIN ladder l ON l.tenant_id = $1 AND l.currency = c.currency AND NOT l.leaving

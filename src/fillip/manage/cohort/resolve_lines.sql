-- Staged users that were merged into others are these. Locks nothing. $1 tenant. Statements told apart by blank lines.
ANALYZE staged_line

UPDATE staged_line s SET line = m.merged_into FROM user_merge m WHERE m.tenant_id = $1 AND m.user_id = s.line COLLATE "default"

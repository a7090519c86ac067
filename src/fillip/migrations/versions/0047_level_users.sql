-- Users by level are found by an index, and counted by it. Locks user_level for writers while it is built.
CREATE INDEX user_level_by_level ON user_level (tenant_id, currency, level, user_id);

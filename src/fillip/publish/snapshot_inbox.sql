-- All inbox entries that were acked. Locks nothing.
SELECT * FROM inbox WHERE acked_at IS NOT NULL ORDER BY tenant_id, user_id, seq

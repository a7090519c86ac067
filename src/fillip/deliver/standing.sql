-- The newest entry of a user's inbox and the newest that was acked. Locks nothing.
-- An ack covers everything up to it, so the newest acked entry tells all.
SELECT coalesce((SELECT last_seq FROM inbox_head WHERE tenant_id = $1 AND user_id = $2), 0) AS last_seq,
       coalesce((SELECT seq FROM inbox WHERE tenant_id = $1 AND user_id = $2 AND acked_at IS NOT NULL
                 ORDER BY seq DESC LIMIT 1), 0) AS acked_seq

-- How many entries of some users' inboxes are acknowledged. Locks nothing.
SELECT count(*) FROM inbox WHERE tenant_id = $1 AND user_id = ANY ($2) AND acked_at IS NOT NULL

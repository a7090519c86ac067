-- The inboxes of some users. Locks nothing.
SELECT user_id, seq, incentive_id::text AS incentive_id FROM inbox
WHERE tenant_id = $1 AND user_id = ANY ($2) ORDER BY user_id, seq

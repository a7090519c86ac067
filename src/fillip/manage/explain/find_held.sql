-- Which of these badges a user holds. Locks nothing.
SELECT b.badge_id FROM badge_held b WHERE b.tenant_id = $1 AND b.user_id = $2 AND b.badge_id = ANY ($3::text[])

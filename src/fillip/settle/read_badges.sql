-- Badges that are held already. Locks nothing: stable while the inbox heads of their users are locked.
SELECT b.tenant_id, b.user_id, b.badge_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (tenant_id, user_id, badge_id)
JOIN badge_held b USING (tenant_id, user_id, badge_id)

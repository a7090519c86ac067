-- Badges that a batch granted. The inbox heads of their users are locked already.
INSERT INTO badge_held (tenant_id, user_id, badge_id, incentive_id, held_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])

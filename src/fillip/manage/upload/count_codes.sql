-- Counts codes that were added to a tenant's pools ($2), with the row of its sums locked; how many there are now.
INSERT INTO tenant_usage AS u (tenant_id, coupon_codes) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET coupon_codes = u.coupon_codes + excluded.coupon_codes
RETURNING u.coupon_codes

-- As fillip_publish, which sees all tenants.
SELECT tenant_id, generation_id FROM coupon_generation WHERE finished_at IS NULL ORDER BY generation_id LIMIT 1

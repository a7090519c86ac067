UPDATE coupon c SET incentive_id = g.incentive_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS g (tenant_id, code, incentive_id)
WHERE c.tenant_id = g.tenant_id AND c.code = g.code AND c.incentive_id IS NULL

-- Those of these tenants that have merged users. Locks nothing.
SELECT tenant_id FROM user_change_head WHERE tenant_id = ANY ($1::text[]) AND merged > 0

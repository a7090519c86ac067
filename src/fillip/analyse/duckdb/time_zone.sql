-- The time zone of a tenant, as its newest change has it.
SELECT time_zone FROM zone_fact WHERE tenant_id = $tenant_id ORDER BY book_version DESC LIMIT 1

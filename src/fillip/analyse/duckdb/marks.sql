-- The newest that is loaded of one tenant.
SELECT tenant_id, committed_at_us FROM tenant_mark WHERE tenant_id = $tenant_id

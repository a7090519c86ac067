-- The newest that is loaded of one tenant.
SELECT max(version) FROM fact WHERE kind = 'mark' AND tenant_id = {tenant_id:String}

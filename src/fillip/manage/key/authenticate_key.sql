-- Who the bearer of a live key is, by its hash, across all tenants; locks nothing.
SELECT key_id, tenant_id, scopes, quotas FROM authenticate_key(:hash)

SELECT key_id, tenant_id, scopes, quotas FROM authenticate_key(:hash)

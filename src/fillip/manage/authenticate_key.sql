SELECT key_id, tenant_id, scopes FROM authenticate_key(:hash)

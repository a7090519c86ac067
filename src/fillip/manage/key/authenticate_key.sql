-- Whose key has this hash, and what it may do. Locks nothing.
SELECT key_id, tenant_id, scopes, quotas FROM authenticate_key(:hash)

SELECT to_jsonb(r) AS reversal FROM reversal r WHERE tenant_id = %s

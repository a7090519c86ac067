SELECT to_jsonb(d) AS decision FROM decision d WHERE tenant_id = %s

SELECT name, schema::text AS schema FROM action WHERE tenant_id = $1

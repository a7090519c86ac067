-- A tenant's actions with their schemas. Locks nothing.
SELECT name, schema::text AS schema FROM action WHERE tenant_id = $1

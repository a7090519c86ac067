-- How many of a tenant's events were struck.
SELECT count(*) FROM event_struck WHERE tenant_id = $1

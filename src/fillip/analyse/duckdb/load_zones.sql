-- Adds announced changes of tenants: their time zones.
INSERT INTO zone_fact
SELECT partition, b.tenant_id, b.book_version, b.document.time_zone
FROM (SELECT r.partition AS partition, r.message.after AS b FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "book_version": "BIGINT", "kind": "VARCHAR", "document": {"time_zone": "VARCHAR"}}}}]')) AS r))
WHERE b.kind = 'tenant'

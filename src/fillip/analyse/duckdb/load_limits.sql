-- Adds announced changes of limits.
INSERT INTO limit_fact
SELECT partition, b.tenant_id, b.object_id, b.book_version, coalesce(b.document.deleted, false), b.document.scope,
       b.document.measure, b.document.span, b.document.key IS NOT NULL, b.document.cap, b.document.week_starts_on
FROM (SELECT r.partition AS partition, r.message.after AS b FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "book_version": "BIGINT", "kind": "VARCHAR", "object_id": "VARCHAR", "document": {
    "deleted": "BOOLEAN", "scope": "VARCHAR", "measure": "VARCHAR", "span": "VARCHAR", "key": "VARCHAR",
    "cap": "BIGINT", "week_starts_on": "VARCHAR"}}}}]')) AS r))
WHERE b.kind = 'limit'

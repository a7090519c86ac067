-- Adds announced rejections.
INSERT INTO rejection_fact
SELECT r.partition, r.message.after.tenant_id, r.message.after.rejection_id, r.message.after.received_at[:10]::date,
       r.message.after.reason
FROM (SELECT unnest(from_json($1::json, '[{"partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "rejection_id": "UUID", "received_at": "VARCHAR", "reason": "VARCHAR"}}}]')) AS r)

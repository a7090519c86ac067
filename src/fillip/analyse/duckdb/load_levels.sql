-- Adds announced changes of users' levels.
INSERT INTO level_fact
SELECT r.partition, r.message.after.tenant_id, r.message.after.currency, r.message.after.direction, r.message.after.from_level,
       r.message.after.to_level, r.message.after.changed_at
FROM (SELECT unnest(from_json($1::json, '[{"partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "currency": "VARCHAR", "direction": "VARCHAR", "from_level": "VARCHAR", "to_level": "VARCHAR",
    "changed_at": "TIMESTAMPTZ"}}}]')) AS r)

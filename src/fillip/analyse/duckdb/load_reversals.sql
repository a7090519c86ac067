-- Adds announced reversals.
INSERT INTO reversal_fact
SELECT r.partition, r.message.after.tenant_id, r.message.after.decision_id, r.message.after.kind,
       r.message.after.currency, r.message.after.changed_value
FROM (SELECT unnest(from_json($1::json, '[{"partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "decision_id": "UUID", "kind": "VARCHAR", "currency": "VARCHAR",
    "changed_value": "BIGINT"}}}]')) AS r)

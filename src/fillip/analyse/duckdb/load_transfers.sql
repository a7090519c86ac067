-- Adds announced transfers of points.
INSERT INTO transfer_fact
SELECT partition, t.tenant_id, t.currency, t.kind, t.debit, t.credit, t.amount, t.made_at
FROM (SELECT r.partition AS partition, r.message.after AS t FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "currency": "VARCHAR", "kind": "VARCHAR", "debit": "VARCHAR", "credit": "VARCHAR",
    "amount": "BIGINT", "made_at": "TIMESTAMPTZ"}}}]')) AS r))

-- Adds announced deliveries: granted incentives that the user's client has acknowledged.
INSERT INTO ack_fact
SELECT partition, a.tenant_id, a.incentive_id, a.acked_at
FROM (SELECT r.partition AS partition, r.message.after AS a FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "kind": "VARCHAR", "acked_at": "TIMESTAMPTZ"}}}]')) AS r))
WHERE a.kind = 'granted'

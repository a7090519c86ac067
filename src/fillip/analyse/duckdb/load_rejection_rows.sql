-- Adds announced rejections for SQL, where it is known whose they are.
INSERT INTO rejection_row
SELECT partition, j.tenant_id, (j.received_at AT TIME ZONE 'UTC')::date, now(), j.rejection_id, j.reason, j.detail,
       j.event_id, j.event_source, j.received_at
FROM (SELECT r.partition AS partition, r.message.after AS j FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "rejection_id": "UUID", "reason": "VARCHAR", "detail": "VARCHAR", "event_id": "VARCHAR",
    "event_source": "VARCHAR", "received_at": "TIMESTAMPTZ"}}}]')) AS r))
WHERE j.tenant_id IS NOT NULL

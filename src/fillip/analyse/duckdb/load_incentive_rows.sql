-- Adds announced incentives for SQL, as they were granted.
INSERT INTO incentive_row
SELECT partition, i.tenant_id, (i.granted_at AT TIME ZONE 'UTC')::date, now(), i.incentive_id, i.decision_id, i.campaign_id,
       i.event_id, i.event_source, i.user_id, i.kind, i.value, i.currency, i.occurred_at, i.granted_at, i.expires_at
FROM (SELECT r.partition AS partition, r.message.after AS i FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "decision_id": "UUID", "campaign_id": "VARCHAR", "event_id": "VARCHAR",
    "event_source": "VARCHAR", "user_id": "VARCHAR", "kind": "VARCHAR", "value": "BIGINT", "currency": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ", "granted_at": "TIMESTAMPTZ", "expires_at": "TIMESTAMPTZ"}}}]')) AS r))

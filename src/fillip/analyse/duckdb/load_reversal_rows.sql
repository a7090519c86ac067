-- Adds for SQL what was announced to be taken of incentives.
INSERT INTO reversal_row
SELECT partition, c.tenant_id, (c.changed_at AT TIME ZONE 'UTC')::date, now(), c.incentive_id, c.decision_id, c.campaign_id,
       c.user_id, c.kind, c.changed_value, c.currency, c.reason, c.changed_at
FROM (SELECT r.partition AS partition, r.message.after AS c FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "decision_id": "UUID", "campaign_id": "VARCHAR", "user_id": "VARCHAR",
    "kind": "VARCHAR", "changed_value": "BIGINT", "currency": "VARCHAR", "reason": "VARCHAR",
    "changed_at": "TIMESTAMPTZ"}}}]')) AS r))

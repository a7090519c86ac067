-- Adds announced decisions for SQL.
INSERT INTO decision_row
SELECT partition, d.tenant_id, d.local_day, now(), d.decision_id, d.campaign_id, d.campaign_version, d.event_id,
       d.event_source, d.user_id, d.instance, d.outcome, d.reason, d.outranked_by, d.occurred_at, d.decided_at, d.reward_values
FROM (SELECT r.partition AS partition, r.message.after AS d FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "decision_id": "UUID", "campaign_id": "VARCHAR", "campaign_version": "INTEGER",
    "event_id": "VARCHAR", "event_source": "VARCHAR", "user_id": "VARCHAR", "instance": "VARCHAR", "outcome": "VARCHAR",
    "reason": "VARCHAR", "outranked_by": "VARCHAR", "occurred_at": "TIMESTAMPTZ", "local_day": "DATE",
    "decided_at": "TIMESTAMPTZ", "reward_values": [{"kind": "VARCHAR", "currency": "VARCHAR", "value": "BIGINT"}]}}}]')) AS r))

-- Adds announced decisions.
-- What does not fit its type reads as NULL, which no column takes: such a row fails, and is set aside.
INSERT INTO decision_fact (partition, tenant_id, decision_id, campaign_id, local_day, user_id, outcome, reason, rewards,
                           variant, occurred_at, of_quest, shadow)
SELECT partition, d.tenant_id, d.decision_id, d.campaign_id, d.local_day, d.user_id, d.outcome, d.reason,
       CASE WHEN len(list_filter(d.reward_values, lambda r: r.kind IS NULL OR r.value IS NULL)) = 0 THEN d.reward_values END,
       d.variant, d.occurred_at, d.instance <> '', d.shadow
FROM (SELECT r.partition AS partition, r.message.after AS d FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "decision_id": "UUID", "campaign_id": "VARCHAR", "local_day": "DATE", "user_id": "VARCHAR",
    "outcome": "VARCHAR", "reason": "VARCHAR", "variant": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ", "instance": "VARCHAR", "shadow": "BOOLEAN",
    "reward_values": [{"kind": "VARCHAR", "currency": "VARCHAR", "value": "BIGINT"}]}}}]')) AS r))

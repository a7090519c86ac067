-- Reads into `incoming_ack` when granted incentives were acknowledged by the user's client, each once; other changes of an entry tell none.
CREATE OR REPLACE TEMP TABLE incoming_ack AS
SELECT DISTINCT ON (a.incentive_id) partition, a.tenant_id AS tenant_id, a.incentive_id AS incentive_id,
       a.acked_at::timestamptz AS acked_at, a.campaign_id AS campaign_id, a.granted_at::timestamptz AS granted_at
FROM (SELECT r.partition AS partition, r.message.after AS a FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "kind": "VARCHAR", "campaign_id": "VARCHAR",
    "acked_at": "VARCHAR", "granted_at": "VARCHAR"}}}]')) AS r))
WHERE a.kind = 'granted' AND a.acked_at IS NOT NULL

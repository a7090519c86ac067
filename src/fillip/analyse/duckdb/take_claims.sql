-- Reads into `incoming_claim` when incentives that have changed were claimed, each once.
CREATE OR REPLACE TEMP TABLE incoming_claim AS
SELECT DISTINCT ON (i.incentive_id, i.claimed_at) partition, i.tenant_id AS tenant_id, i.incentive_id AS incentive_id,
       i.claimed_at AS claimed_at, i.campaign_id AS campaign_id, i.granted_at AS granted_at
FROM (SELECT r.partition AS partition, r.message.after AS i FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "campaign_id": "VARCHAR", "state": "VARCHAR",
    "granted_at": "TIMESTAMPTZ", "claimed_at": "TIMESTAMPTZ"}}}]')) AS r))
WHERE i.claimed_at IS NOT NULL OR i.state = 'claimed'

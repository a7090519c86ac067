-- Adds announced incentives with the times of their way; when one from a snapshot was committed is not known.
INSERT INTO grant_fact
SELECT partition, i.tenant_id, (i.granted_at AT TIME ZONE 'UTC')::date, i.campaign_id, i.incentive_id, i.occurred_at,
       i.received_at, i.granted_at, CASE WHEN op = 'c' THEN make_timestamp(committed_us) AT TIME ZONE 'UTC' END, i.claimed_at
FROM (SELECT r.partition AS partition, r.message.op AS op, r.message.source.committed_at_us AS committed_us,
             r.message.after AS i FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"op": "VARCHAR", "source": {"committed_at_us": "BIGINT"}, "after": {
    "tenant_id": "VARCHAR", "incentive_id": "UUID", "campaign_id": "VARCHAR", "occurred_at": "TIMESTAMPTZ",
    "received_at": "TIMESTAMPTZ", "granted_at": "TIMESTAMPTZ", "claimed_at": "TIMESTAMPTZ"}}}]')) AS r))

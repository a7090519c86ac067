-- Reads received events into `incoming`, without those that are known to be rejected.
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT e.* FROM (
    SELECT r.partition AS partition, r.message.tenant_id AS tenant_id,
           (make_timestamp(r.message.occurred_us))::date AS day, now() AS loaded_at, r.message.log_offset AS log_offset,
           r.message.event_key AS event_key, r.message.source AS source, r.message.id AS id, r.message.user_id AS user_id,
           r.message.action AS action, make_timestamp(r.message.occurred_us) AT TIME ZONE 'UTC' AS occurred_at,
           make_timestamp(r.message.received_us) AT TIME ZONE 'UTC' AS received_at, r.message.data::varchar AS data
    FROM (SELECT unnest(from_json($1::json, '[{"partition": "INTEGER", "message": {
        "tenant_id": "VARCHAR", "log_offset": "BIGINT", "event_key": "UUID", "source": "VARCHAR", "id": "VARCHAR",
        "user_id": "VARCHAR", "action": "VARCHAR", "occurred_us": "BIGINT", "received_us": "BIGINT", "data": "JSON"}}]')) AS r)
) e ANTI JOIN event_rejected x
ON x.partition = e.partition AND x.log_offset = e.log_offset AND x.received_at = e.received_at

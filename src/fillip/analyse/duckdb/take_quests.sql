-- Reads announced quest instances into `incoming_quest`: of each the newest state.
-- A change that leaves long steps as they were does not carry them: they are those of the state before.
CREATE OR REPLACE TEMP TABLE incoming_quest AS
SELECT partition, record_offset, tenant_id, campaign_id, user_id, instance_id, campaign_version, state, started_at, ends_at, revision,
       first_value(steps IGNORE NULLS) OVER (PARTITION BY instance_id ORDER BY revision DESC
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS steps
FROM (
    SELECT partition, record_offset, q.*,
           md5(json_array(q.tenant_id, q.campaign_id, q.user_id, q.instance_key, q.occurrence)::varchar)::uuid AS instance_id
    FROM (SELECT r.partition AS partition, r."offset" AS record_offset, unnest(r.message.after) FROM (SELECT unnest(from_json($1::json, '[{
        "partition": "INTEGER", "offset": "BIGINT", "message": {"after": {
        "tenant_id": "VARCHAR", "campaign_id": "VARCHAR", "user_id": "VARCHAR", "instance_key": "VARCHAR",
        "occurrence": "INTEGER", "campaign_version": "INTEGER", "state": "VARCHAR", "started_at": "TIMESTAMPTZ",
        "ends_at": "TIMESTAMPTZ", "revision": "BIGINT",
        "steps": [{"name": "VARCHAR", "done": "BIGINT", "needed": "BIGINT", "met_at": "TIMESTAMPTZ"}]}}}]')) AS r)) q
)
QUALIFY revision IS NULL OR row_number() OVER (PARTITION BY instance_id ORDER BY revision DESC) = 1

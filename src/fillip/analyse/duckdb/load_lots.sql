-- Adds what announced transfers of points change of each lot that they name.
-- What does not fit its type reads as NULL, which no column takes: such a row fails, and is set aside.
INSERT INTO lot_fact
SELECT partition, false, t.tenant_id, t.currency, unnest(t.expiries), unnest(map_values(t.lots)), t.made_at
FROM (SELECT r.partition AS partition, r.message.after AS t FROM (SELECT unnest(from_json($1::json, '[{
    "partition": "INTEGER", "message": {"after": {
    "tenant_id": "VARCHAR", "currency": "VARCHAR", "lots": "MAP(VARCHAR, BIGINT)", "expiries": ["TIMESTAMPTZ"],
    "made_at": "TIMESTAMPTZ"}}}]')) AS r))

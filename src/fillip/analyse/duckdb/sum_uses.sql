-- Sums what incoming counters have used by limit, key and hour.
CREATE OR REPLACE TEMP TABLE incoming_use AS
SELECT partition, tenant_id, limit_id, key, hour, sum(used - used_before)::bigint AS used
FROM incoming_counter GROUP BY ALL

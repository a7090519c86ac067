-- Adds the hours that are not known yet.
INSERT INTO use_fact
SELECT partition, tenant_id, limit_id, key, hour, used
FROM incoming_use ANTI JOIN use_fact USING (hour, tenant_id, limit_id, key, partition)

-- Removes the counters that incoming ones replace.
DELETE FROM counter_fact USING incoming_counter i
WHERE counter_fact.window_start = i.window_start AND counter_fact.tenant_id = i.tenant_id
  AND counter_fact.limit_id = i.limit_id AND counter_fact.key = i.key

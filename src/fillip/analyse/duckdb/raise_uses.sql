-- Adds what was used to the hours that are known.
UPDATE use_fact SET used = use_fact.used + i.used
FROM incoming_use i
WHERE use_fact.hour = i.hour AND use_fact.tenant_id = i.tenant_id AND use_fact.limit_id = i.limit_id
  AND use_fact.key = i.key AND use_fact.partition = i.partition

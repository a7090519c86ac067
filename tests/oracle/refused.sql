-- The decisions of a tenant so far that completed a quest and were refused.
SELECT decision_id::text FROM decision WHERE tenant_id = :tenant AND outcome = 'denied' AND instance <> '' AND reason <> 'shadow'

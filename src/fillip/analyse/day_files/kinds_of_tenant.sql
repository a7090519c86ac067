-- Of what kinds a tenant has rows that stand in no file.
SELECT 'events' FROM event_row WHERE tenant_id = $1
UNION SELECT 'decisions' FROM decision_row WHERE tenant_id = $1
UNION SELECT 'incentives' FROM incentive_row WHERE tenant_id = $1
UNION SELECT 'incentive_reversals' FROM reversal_row WHERE tenant_id = $1
UNION SELECT 'rejections' FROM rejection_row WHERE tenant_id = $1

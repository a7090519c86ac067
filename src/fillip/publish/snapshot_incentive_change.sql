SELECT * FROM incentive_change ORDER BY tenant_id, user_id, inbox_seq

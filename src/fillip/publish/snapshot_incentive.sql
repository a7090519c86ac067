SELECT * FROM incentive ORDER BY tenant_id, user_id, inbox_seq

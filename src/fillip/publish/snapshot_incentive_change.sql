-- All changes of incentives, each user's in the order of the inbox. Locks nothing.
SELECT * FROM incentive_change ORDER BY tenant_id, user_id, inbox_seq

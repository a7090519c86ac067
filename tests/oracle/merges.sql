-- The merges of a tenant's users, with what each of them has brought.
SELECT merge_id, user_id, merged_into, moved FROM user_merge WHERE tenant_id = %s
